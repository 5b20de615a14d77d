// Package secrets makes the passwords and keyrings of a deployment. It never replaces an existing one, because stored data needs
// the keyrings, and Postgres and Redis know the passwords. It also appends, promotes and retires keys. It never prints a secret.
package secrets

import (
	"crypto/rand"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/deploy/countersign/keys"
	"github.com/countersign/countersign/pkg/schema"
)

// File is the name of the file that holds the secrets.
const File = "secrets.json"

// Services are the secrets of the three services.
type Services struct {
	AuthDB           string `json:"auth_db_password"`
	PinAdminDB       string `json:"pin_admin_db_password"`
	PinInternalDB    string `json:"pin_internal_db_password"`
	AuthRedis        string `json:"auth_redis_password"`
	PinAdminRedis    string `json:"pin_admin_redis_password"`
	PinInternalRedis string `json:"pin_internal_redis_password"`
	PinKeys          string `json:"pin_keys"`
	AuthKeys         string `json:"auth_keys"`
	KYCSumsub        string `json:"kyc_sumsub_secret"`
	KYCPersona       string `json:"kyc_persona_secret"`
	KYCOnfido        string `json:"kyc_onfido_secret"`
	KYCVeriff        string `json:"kyc_veriff_secret"`
}

// Load reads the secrets of a folder, makes those that are missing, and writes all of them back.
func Load(from folder.Folder) (Services, error) {
	var s Services
	if err := from.Read(File, &s); err != nil {
		return Services{}, err
	}
	s.fill()
	return s, from.Write(File, s)
}

// Passwords returns the passwords of the services' Postgres roles.
func (s Services) Passwords() database.Passwords {
	return database.Passwords{Auth: s.AuthDB, PinAdmin: s.PinAdminDB, PinInternal: s.PinInternalDB}
}

// RedisPasswords returns the passwords of the services' Redis users, by role.
func (s Services) RedisPasswords() map[string]string {
	return map[string]string{schema.RoleAuth: s.AuthRedis, schema.RolePinAdmin: s.PinAdminRedis, schema.RolePinInternal: s.PinInternalRedis}
}

// fill makes the secrets that are missing.
func (s *Services) fill() {
	fillPasswords(&s.AuthDB, &s.PinAdminDB, &s.PinInternalDB, &s.AuthRedis, &s.PinAdminRedis, &s.PinInternalRedis,
		&s.KYCSumsub, &s.KYCPersona, &s.KYCOnfido, &s.KYCVeriff)
	for _, ring := range []*string{&s.PinKeys, &s.AuthKeys} {
		if *ring == "" {
			*ring = keys.New()
		}
	}
}

func fillPasswords(passwords ...*string) {
	for _, password := range passwords {
		if *password == "" {
			*password = rand.Text()
		}
	}
}
