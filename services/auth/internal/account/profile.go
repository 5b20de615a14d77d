package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/patch"
)

// ErrAvatar means that a web page cannot safely load a picture from the URL.
var ErrAvatar = fault.New(fault.Invalid, "avatar_url", "The URL of the picture must begin with https:// and must not contain a user name or a password").About("avatar_url")

// Profile is the part of a user's data that the user sees.
type Profile struct {
	AvatarURL *string   `db:"avatar_url"`
	CreatedAt time.Time `db:"created_at"`
	Email     string    `db:"email"`
	FullName  *string   `db:"full_name"`
	ID        uuid.UUID `db:"id"`
	Phone     *string   `db:"phone"`
	UpdatedAt time.Time `db:"updated_at"`
}

const profileColumns = `id, email, full_name, avatar_url, phone, created_at, updated_at`

// ProfileChange has the fields to change.
type ProfileChange struct{ FullName, AvatarURL, Phone patch.Field[string] }

// Profile returns the profile of a signed-in user. It returns caller.ErrInvalid when the user was deleted.
func (a *Accounts) Profile(ctx context.Context, user uuid.UUID) (Profile, error) {
	var p Profile
	err := a.DB.GetContext(ctx, &p, `select `+profileColumns+` from users where id = $1`, user)
	if errors.Is(err, sql.ErrNoRows) {
		return Profile{}, caller.ErrInvalid
	}
	if err != nil {
		return Profile{}, fmt.Errorf("looking up a profile: %w", err)
	}
	return p, nil
}

// ChangeProfile changes the given fields and returns the profile. It returns ErrAvatar, and caller.ErrInvalid when the user
// was deleted.
func (a *Accounts) ChangeProfile(ctx context.Context, user uuid.UUID, change ProfileChange) (p Profile, err error) {
	if change == (ProfileChange{}) {
		return a.Profile(ctx, user)
	}
	if avatar := change.AvatarURL.Value; avatar != nil && !isPictureURL(*avatar) {
		return Profile{}, ErrAvatar
	}
	const q = `
		update users
		   set full_name = case when $2 then $3 else full_name end, avatar_url = case when $4 then $5 else avatar_url end,
		       phone = case when $6 then $7 else phone end, updated_at = now()
		 where id = $1
		returning ` + profileColumns
	err = audit.Change(ctx, a.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &p, q, user, change.FullName.Given, change.FullName.Value,
			change.AvatarURL.Given, change.AvatarURL.Value, change.Phone.Given, change.Phone.Value)
		if errors.Is(err, sql.ErrNoRows) {
			return audit.Event{}, caller.ErrInvalid
		}
		if err != nil {
			return audit.Event{}, fmt.Errorf("changing a profile: %w", err)
		}
		return audit.Event{Action: "user.updated", TargetID: audit.ID(user), Details: map[string]any{"changed": change.fields()}}, nil
	})
	return p, err
}

// fields names the given fields.
func (c ProfileChange) fields() []string {
	names := []string{}
	for i, given := range []bool{c.FullName.Given, c.AvatarURL.Given, c.Phone.Given} {
		if given {
			names = append(names, []string{"full_name", "avatar_url", "phone"}[i])
		}
	}
	return names
}

func isPictureURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil
}
