package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/api"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/content"
	"github.com/onlinesms/onlinesms/services/ingest/internal/limit"
	"github.com/onlinesms/onlinesms/services/ingest/internal/mail"
	"github.com/onlinesms/onlinesms/services/ingest/internal/oidc"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// PeopleConfig is how people get mail and sign in elsewhere.
type PeopleConfig struct {
	// ConsoleURL is the page that takes links from mails; the link's token stands behind #.
	ConsoleURL string `env:"CONSOLE_URL" envDefault:"https://localhost/password"`
	// MailDir is a directory to write mails to instead of sending them; for development.
	MailDir string `env:"MAIL_DIR"`
	// MailFrom is the sender of mails, an address or `Name <address>`.
	MailFrom string `env:"MAIL_FROM" envDefault:"OnlineSMS <no-reply@localhost>"`
	// SMTPAddr is the server that takes mails, host:port. Without it and MailDir mails wait, and their links grow old.
	SMTPAddr string `env:"SMTP_ADDR"`
	// SMTPTLS is `starttls` (default) or `tls`, from the first byte. Without TLS nothing is sent.
	SMTPTLS string `env:"SMTP_TLS" envDefault:"starttls"`
	// SMTPUser and SMTPPassword (or SMTP_PASSWORD_FILE) authenticate; without user nothing does.
	SMTPUser     string `env:"SMTP_USER"`
	SMTPPassword string `env:"SMTP_PASSWORD"`
	// SMTPCA is the authority of the server's certificate, PEM; default the system's.
	SMTPCA string `env:"SMTP_CA_FILE"`
	// OIDCRedirectURL is the page that identity providers send browsers back to. Without it nobody signs in there.
	OIDCRedirectURL string `env:"OIDC_REDIRECT_URL"`
	// OIDCCA is the authority of providers' certificates, PEM; default the system's.
	OIDCCA string `env:"OIDC_CA_FILE"`
	// OIDCPrivate allows providers at addresses that are not public. Tenants set the issuers: only where all of them are
	// trusted with the own network.
	OIDCPrivate bool `env:"OIDC_ALLOW_PRIVATE" envDefault:"false"`
	// LoginsPerSecond bounds logins and requests for links of one network (IPv4 /24, IPv6 /48) at one replica, whatever the
	// accounts; a hundred at once; 0: no limit.
	LoginsPerSecond float64 `env:"LIMIT_LOGINS_PER_SECOND" envDefault:"5"`
}

// loginBurst is how many people of one network may log in at the same moment.
const loginBurst = 100

// Validate tells which setting is wrong.
func (c PeopleConfig) Validate() error {
	var all []error
	for name, text := range map[string]string{"CONSOLE_URL": c.ConsoleURL, "OIDC_REDIRECT_URL": c.OIDCRedirectURL} {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "") {
			all = append(all, fmt.Errorf("%s must be an https URL without fragment", name))
		}
	}
	if c.SMTPTLS != "" && c.SMTPTLS != "starttls" && c.SMTPTLS != "tls" {
		all = append(all, errors.New("SMTP_TLS must be starttls or tls"))
	}
	if c.SMTPAddr != "" && c.MailDir != "" {
		all = append(all, errors.New("SMTP_ADDR and MAIL_DIR exclude each other"))
	}
	if _, _, err := net.SplitHostPort(c.SMTPAddr); c.SMTPAddr != "" && err != nil {
		all = append(all, errors.New("SMTP_ADDR must be host:port"))
	}
	if c.LoginsPerSecond < 0 || c.LoginsPerSecond > 1e6 {
		all = append(all, errors.New("LIMIT_LOGINS_PER_SECOND must be 0 to 1,000,000"))
	}
	return errors.Join(all...)
}

// mailer sends mails.
type mailer interface {
	Send(ctx context.Context, m person.Mail) error
}

// mailer is where mails go; nil when nowhere.
func (c PeopleConfig) mailer(now func() time.Time) (mailer, error) {
	switch {
	case c.MailDir != "":
		return &mail.Directory{Path: c.MailDir, From: c.MailFrom, Now: now}, nil
	case c.SMTPAddr == "":
		return nil, nil
	}
	roots, err := authority(c.SMTPCA)
	return &mail.SMTP{
		Addr: c.SMTPAddr, Implicit: c.SMTPTLS == "tls", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		User: c.SMTPUser, Password: c.SMTPPassword, From: c.MailFrom, Now: now,
	}, err
}

// authority reads certificates; nil without a file, which stands for the system's.
func authority(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}

// people is the rooms of users and their logins, joined.
type people struct {
	store    *store.People
	sessions *person.Sessions
	vault    *content.Vault
	hasher   *person.Hasher
	login    *person.Login
	rooms    api.SessionRooms
	admin    *person.Administration
	mailer   mailer
	letters  chan struct{} // there is one
	now      func() time.Time
}

func (i *ingest) newPeople(cfg PeopleConfig, vault *content.Vault, peppers *tenant.Peppers) (*people, error) {
	scopes := api.Scopes()
	p := &people{
		store: store.NewPeople(i.store), vault: vault, hasher: person.NewHasher(person.StandardCost), letters: make(chan struct{}, 1), now: i.now,
	}
	p.sessions = person.NewSessions(p.store, peppers, scopes, i.now)
	var err error
	if p.mailer, err = cfg.mailer(i.now); err != nil {
		return nil, err
	}
	issuer := &person.Issuer{Peppers: peppers, Now: i.now, Random: rand.Reader}
	links := &person.Links{Peppers: peppers, Random: rand.Reader, Now: i.now, Console: cfg.ConsoleURL}
	p.login = &person.Login{Store: p.store, Vault: vault, Hasher: p.hasher, Issuer: issuer, Now: i.now}
	p.admin = &person.Administration{
		Store: p.store, Vault: vault, Links: links, Scopes: scopes, Forget: p.sessions.Forget, Now: i.now, Wake: p.wake,
	}
	p.rooms = api.SessionRooms{
		Admit: admission(limit.PerSecond(cfg.LoginsPerSecond, loginBurst, 1), i.now),
		Login: p.login, Sessions: p.store, People: p.admin, Forget: p.sessions.Forget, Now: i.now,
		Factors: &person.Factors{
			Store: p.store, Vault: vault, Issuer: issuer, Forget: p.sessions.Forget, Now: i.now, Random: rand.Reader,
		},
		Passwords: &person.Passwords{
			Store: p.store, Vault: vault, Hasher: p.hasher, Links: links, Issuer: issuer, Forget: p.sessions.Forget, Now: i.now, Wake: p.wake,
		},
	}
	if cfg.OIDCRedirectURL == "" {
		return p, nil
	}
	roots, err := authority(cfg.OIDCCA)
	p.rooms.Federation = &person.Federation{
		Store: p.store, Vault: vault, Peppers: peppers, Issuer: issuer, Now: i.now, Random: rand.Reader,
		Relying: oidc.NewRelying(oidc.Config{RedirectURL: cfg.OIDCRedirectURL, Roots: roots, AllowPrivate: cfg.OIDCPrivate, Now: i.now}),
	}
	return p, err
}

// admission refuses calls without credential that come too often from one network: so nobody tries one password on many
// accounts, or takes all places at which passwords are computed.
func admission(rate limit.Rate, now func() time.Time) func(netip.Addr) error {
	networks := limit.NewLocal[netip.Prefix](rate)
	return func(from netip.Addr) error {
		return limit.Standing{Name: "logins", Burst: rate.Burst, Wait: networks.Spend(person.NetworkOf(from), now())}.Err()
	}
}

func (p *people) register(r grpc.ServiceRegistrar) {
	ingestv1.RegisterSessionServiceServer(r, api.NewSessionServer(p.rooms))
	ingestv1.RegisterUserServiceServer(r, api.NewUserServer(p.admin, p.store, &person.Providers{Store: p.store, Vault: p.vault}))
}

// verify answers whose session a token is; see door.Verifier.
func (p *people) verify(ctx context.Context, token string) (principal.Principal, error) {
	from := caller.From(ctx)
	env := from.Environment
	switch env {
	case "":
		env = principal.Test
	case principal.Live, principal.Test:
	default:
		return principal.Principal{}, &errs.Error{
			Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "X-Environment must be live or test",
			Violations: []errs.Violation{{Field: "X-Environment", Reason: "UNKNOWN", Detail: "must be live or test"}},
		}
	}
	return p.sessions.Verify(ctx, token, env, person.Origin{Address: from.Address, Agent: from.Agent})
}

// endExposed ends a session whose token was seen in clear.
func (p *people) endExposed(ctx context.Context, who principal.Principal) error {
	user, err := person.UserOf(who)
	if err != nil {
		return err
	}
	if err := p.store.EndSession(ctx, who.TenantID, user, who.Session); err != nil {
		return err
	}
	p.sessions.Forget(who.TenantID, user)
	return nil
}

// isSession tells whether a credential is the token of a session.
func isSession(credential string) bool { return strings.HasPrefix(credential, person.SessionPrefix) }

func (p *people) wake() {
	select {
	case p.letters <- struct{}{}:
	default:
	}
}

const (
	lettersEvery = 15 * time.Second // those that another replica left behind
	lettersTaken = 10
)

// tasks keep mail going and tables small.
func (p *people) tasks(log *slog.Logger) []service.Task {
	return []service.Task{
		{Name: "send mail", Run: func(ctx context.Context) error { return p.sendLetters(ctx, log) }},
		{Name: "purge people", Run: func(ctx context.Context) error {
			return every(ctx, purgeEvery, func() {
				for more := true; more && ctx.Err() == nil; {
					var err error
					if more, err = p.store.PurgePeople(ctx, p.now(), purgeRows); err != nil && ctx.Err() == nil {
						log.WarnContext(ctx, "ended sessions and the like not purged", slog.String("error", err.Error()))
					}
				}
			})
		}},
	}
}

// sendLetters sends what is due until ctx ends.
func (p *people) sendLetters(ctx context.Context, log *slog.Logger) error {
	if p.mailer == nil {
		log.WarnContext(ctx, "no mail is sent: set SMTP_ADDR, or MAIL_DIR for development")
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(lettersEvery)
	defer tick.Stop()
	for {
		for n := lettersTaken; n == lettersTaken && ctx.Err() == nil; {
			n = p.sendDue(ctx, log)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.letters:
		case <-tick.C:
		}
	}
}

// sendDue sends a few letters and answers how many there were. What cannot be sent is due again later.
func (p *people) sendDue(ctx context.Context, log *slog.Logger) int {
	letters, err := p.store.TakeLetters(ctx, p.now(), lettersTaken)
	if err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "mail not looked for", slog.String("error", err.Error()))
	}
	for i := range letters {
		l := &letters[i]
		err := p.sendLetter(ctx, l)
		if err == nil {
			err = p.store.DropLetter(ctx, l)
		}
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "mail not sent; it is tried again", slog.String("letter", l.ID.String()), slog.String("error", err.Error()))
		}
	}
	return len(letters)
}

func (p *people) sendLetter(ctx context.Context, l *person.Letter) error {
	plain, err := p.vault.OpenLasting(ctx, l.Tenant, l.ID, l.Sealed)
	if err != nil {
		return err
	}
	defer clear(plain)
	var m person.Mail
	if err := json.Unmarshal(plain, &m); err != nil || m.To == "" {
		return err
	}
	return p.mailer.Send(ctx, m)
}

// Record answers what limits of a caller go by: a key's record, or for a person the limits of his tenant; see
// api.CallerRecords.
func (i *ingest) Record(ctx context.Context, p principal.Principal) (tenant.Record, error) {
	if p.Session == "" {
		return i.access.verifier.Record(ctx, strings.TrimPrefix(p.Actor, "key/"))
	}
	limits, ok := i.people.sessions.Limits(p)
	if !ok {
		held, err := i.people.store.Session(ctx, p.Session)
		if err != nil {
			return tenant.Record{}, err
		}
		limits = held.Limits[p.Env]
	}
	return tenant.Record{Tenant: p.TenantID, Env: p.Env, Limits: limits, Expire: i.now().Add(tenant.KeyLifetime)}, nil
}
