package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/pkg/keyring"
)

// keptFolder is the folder that contains File. Beside it, each container has a folder with copies of its secrets.
const keptFolder = "kept"

// Config describes the stack of containers.
type Config struct {
	// Dir has a folder for each container.
	Dir string `envconfig:"SECRETS_DIR" default:"/secrets"`
	// Postgres and Redis are the addresses, as host:port, that the containers use.
	Postgres string `envconfig:"POSTGRES_ADDRESS" default:"postgres:5432"`
	Redis    string `envconfig:"REDIS_ADDRESS" default:"redis:6379"`
}

// containers are the secrets of a stack of containers.
type containers struct {
	Services
	Superuser string `json:"postgres_password"`
	Owner     string `json:"owner_db_password"`
	Redis     string `json:"redis_password"`
}

func (s *containers) fill() {
	s.Services.fill()
	fillPasswords(&s.Superuser, &s.Owner, &s.Redis)
}

// Stack gives access to the secrets of a stack of containers. Until Close, no other command can change them.
type Stack struct {
	config  Config
	kept    folder.Folder
	release func() error
}

// Open waits until no other command changes the secrets of the stack, and locks them.
func Open(config Config) (*Stack, error) {
	kept := folder.Folder(filepath.Join(config.Dir, keptFolder))
	release, err := kept.Lock("lock") // two changes at once would lose a key
	if err != nil {
		return nil, err
	}
	return &Stack{config, kept, release}, nil
}

// Close lets other commands change the secrets.
func (s *Stack) Close() error { return s.release() }

// Make makes the secrets that are missing and writes the copies for the containers. If the file with the secrets is missing but
// copies exist, it returns an error and makes no new secrets, because PINs are stored under the lost keys.
func (s *Stack) Make() error {
	var all containers
	if err := s.kept.Read(File, &all); err != nil {
		return err
	}
	if all == (containers{}) {
		copies, err := filepath.Glob(filepath.Join(s.config.Dir, "*", "*_url"))
		if err != nil || len(copies) > 0 {
			return fmt.Errorf("%s is lost, but copies of its secrets exist: restore the file with secrets import, or, "+
				"if no data is stored under the keys, remove the copies too (docker compose --profile '*' down -v)", s.kept.Path(File))
		}
	}
	return s.write(all)
}

// Import stores the secrets of another stack, in the form of its secrets.json, and writes the copies for the containers. It
// returns an error when this stack has secrets.
func (s *Stack) Import(from io.Reader) error {
	if _, err := os.Stat(s.kept.Path(File)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists: the secrets of a stack cannot be replaced", s.kept.Path(File))
	}
	content, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("reading the secrets: %w", err)
	}
	var all containers
	if err := json.Unmarshal(content, &all); err != nil {
		return errors.New("standard input is not a secrets.json") // the cause may contain a secret
	}
	for _, ring := range []string{all.PinKeys, all.AuthKeys} {
		if _, err := keyring.Parse(ring); err != nil {
			return fmt.Errorf("a keyring in these secrets: %w", err)
		}
	}
	return s.write(all)
}

// write makes the secrets that are missing, stores all of them, and writes the copies for the containers.
func (s *Stack) write(all containers) error {
	all.fill()
	if err := s.kept.Write(File, all); err != nil {
		return err
	}
	return s.config.distribute(all)
}
