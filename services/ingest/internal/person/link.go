package person

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Lifetimes of links.
const (
	resetLife  = time.Hour
	inviteLife = 7 * 24 * time.Hour
)

const linkPrefix = "osms_link_"

// Link lets its holder set a password, once; as stored.
type Link struct {
	ID            string
	Tenant        uuid.UUID
	User          uuid.UUID // zero: nobody's
	MAC           []byte
	PepperVersion int16
	Expire        time.Time
}

// Letter is a mail to be sent, as stored.
type Letter struct {
	ID     uuid.UUID
	Tenant uuid.UUID
	Sealed []byte // Mail as JSON, for the row ID; of a letter to nobody To is empty
	Due    time.Time
	Expire time.Time
}

// Mail is one mail to one person, plain text.
type Mail struct {
	To, Subject, Body string
}

// Links makes and reads the tokens of links: <prefix><id>_<secret><crc>.<expiry>.<version>.<signature>. The signature is
// an HMAC under the pepper of all before it, so that what we have not written, or what is too old, costs no query; the
// secret is random and stored as HMAC, so that no copy of database and pepper makes a link.
type Links struct {
	Peppers Peppers
	Random  io.Reader
	Now     func() time.Time
	Console string // URL of the page that takes a link; the token stands behind # and reaches no server's log
}

// make answers a link for a user and the token for its holder.
func (l *Links) make(u *User, life time.Duration) (Link, string, error) {
	t, err := tenant.NewToken(l.Random)
	if err != nil {
		return Link{}, "", err
	}
	expire := l.Now().Add(life).Truncate(time.Second)
	link := Link{ID: t.ID, Tenant: u.Tenant, User: u.ID, Expire: expire}
	link.MAC, link.PepperVersion = l.Peppers.Hash(linkPrefix + t.Secret)
	body := t.Write(linkPrefix) + "." + strconv.FormatInt(expire.Unix(), 10)
	mac, version := l.Peppers.Hash("signed|" + body)
	return link, body + "." + strconv.Itoa(int(version)) + "." + base64.RawURLEncoding.EncodeToString(mac), nil
}

var errLink = errs.E(errs.Invalid, "LINK_INVALID", "the link is not whole, was used, or is too old; ask for another", nil)

// read takes a token apart, if we have signed it and it has not expired.
func (l *Links) read(token string) (t tenant.Token, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 4 {
		return t, errLink
	}
	expire, expireErr := strconv.ParseInt(parts[1], 10, 64)
	version, versionErr := strconv.ParseInt(parts[2], 10, 16)
	mac, macErr := base64.RawURLEncoding.Strict().DecodeString(parts[3])
	if expireErr != nil || versionErr != nil || macErr != nil || !l.Peppers.Matches("signed|"+parts[0]+"."+parts[1], mac, int16(version)) {
		return t, errLink
	}
	t, ok := tenant.ParseToken(linkPrefix, parts[0])
	if !ok || l.Now().Unix() >= expire {
		return t, errLink
	}
	return t, nil
}

// url is where the holder of a token goes.
func (l *Links) url(token string) string { return l.Console + "#token=" + token }

// invitation is the mail to an invited user.
func (l *Links) invitation(to, token string) Mail {
	return Mail{To: to, Subject: "You are invited to OnlineSMS", Body: "You were invited to an account at OnlineSMS.\n\n" +
		"Choose your password within 7 days:\n\n" + l.url(token) + "\n\nIf you do not know what this is, do nothing.\n"}
}

// resetMail is the mail to who has asked for a new password.
func (l *Links) resetMail(to, token string) Mail {
	return Mail{To: to, Subject: "Your new password at OnlineSMS", Body: "Somebody, most likely you, asked for a new password at OnlineSMS.\n\n" +
		"Choose it within one hour:\n\n" + l.url(token) + "\n\nIf it was not you, do nothing: your password stays what it is.\n"}
}

// encode is a mail as it is sealed.
func (m Mail) encode() []byte {
	text, _ := json.Marshal(m) // strings only
	return text
}
