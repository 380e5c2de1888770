package person

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// peppers has two versions; the second makes new hashes.
type peppers struct{}

func (peppers) mac(secret string, version int16) []byte {
	h := hmac.New(sha256.New, []byte{byte(version)})
	h.Write([]byte(secret))
	return h.Sum(nil)
}

func (p peppers) Hash(secret string) ([]byte, int16) { return p.mac(secret, 2), 2 }

func (p peppers) Matches(secret string, mac []byte, version int16) bool {
	return (version == 1 || version == 2) && hmac.Equal(p.mac(secret, version), mac)
}

func TestPasswordRule(t *testing.T) {
	const email = "grace.hopper@navy.example"
	for password, want := range map[string]string{
		"three llamas walk into the moonlight": "", "correct horse battery staple": "", "Vq9#kTz2!mLp": "", "पासवर्ड मेरा बहुत लंबा": "",
		"elevenchars": "OUT_OF_RANGE", strings.Repeat("ab1 ", 33): "OUT_OF_RANGE", strings.Repeat("é", 11): "OUT_OF_RANGE",
		"password1234": "PASSWORD_COMMON", "Password@12345": "PASSWORD_COMMON", "P@55w0rd12345678": "PASSWORD_COMMON",
		"qwertyuiop123": "PASSWORD_COMMON", "letmeinletmein": "PASSWORD_COMMON", "Admin@India2026": "PASSWORD_COMMON",
		"123456789012": "PASSWORD_COMMON", "abcdefghijklm": "PASSWORD_COMMON", "aaaabbbbaaaa": "PASSWORD_COMMON", "987654321098": "PASSWORD_COMMON",
		"grace.hopper@navy.example": "PASSWORD_COMMON", "xGRACE.HOPPER@navy.examplex": "PASSWORD_COMMON", "grace.hopper1": "PASSWORD_COMMON",
	} {
		err, ok := CheckPassword("password", password, email).(*errs.Error) //nolint:errorlint // of the rule itself
		got := ""
		if ok {
			got = err.Violations[0].Reason
		}
		if got != want {
			t.Errorf("%q: %q, want %q", password, got, want)
		}
	}
}

func TestHasher(t *testing.T) {
	h := NewHasher(StandardCost)
	stored := h.Hash("a password")
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1$") || h.Hash("a password") == stored {
		t.Errorf("stored as %s", stored)
	}
	for _, test := range []struct {
		password, stored string
		right            bool
	}{
		{"a password", stored, true}, {"a passwore", stored, false}, {"", stored, false}, {"a password", "", false}, {"a password", "nonsense", false},
		{"a password", strings.Replace(stored, "m=19456", "m=9999999", 1), false},
	} {
		before := h.Runs()
		if right, _ := h.Compare(test.password, test.stored); right != test.right || h.Runs() != before+1 {
			t.Errorf("%q with %q: %v, %d runs", test.password, test.stored, right, h.Runs()-before)
		}
	}
	if right, _ := h.Compare("Ａ", h.Hash("A")); !right { // NFKC
		t.Error("the same password in another form of Unicode is wrong")
	}
	stronger := NewHasher(Cost{Memory: 20 << 10, Passes: 2, Lanes: 1})
	if right, outdated := stronger.Compare("a password", stored); !right || !outdated {
		t.Errorf("at a higher cost: right %v, outdated %v", right, outdated)
	}
	if _, outdated := h.Compare("a password", stored); outdated {
		t.Error("at the same cost it is outdated")
	}
}

// There are so many runs at a time and no more; who waits too long is told.
func TestHasherIsBounded(t *testing.T) {
	h := NewHasher(Cost{Memory: 8, Passes: 1, Lanes: 1})
	var leave []func()
	for range maxRuns {
		l, err := h.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Enter(ctx); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("one more: %v", err)
	}
	leave[0]()
	if _, err := h.Enter(t.Context()); err != nil {
		t.Errorf("once there is a place: %v", err)
	}
}

// RFC 6238, appendix B, with six digits: the last six of the eight there.
func TestTOTPVectors(t *testing.T) {
	seed := []byte("12345678901234567890")
	for at, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		now := time.Unix(at, 0)
		if step, ok := matchTOTP(seed, code, now); !ok || step != at/30 {
			t.Errorf("%d: step %d, %v", at, step, ok)
		}
		for shift, want := range map[time.Duration]bool{30 * time.Second: true, -30 * time.Second: true, 60 * time.Second: false, -60 * time.Second: false} {
			if at < 100 { // before 1970 there are no steps
				continue
			}
			if step, ok := matchTOTP(seed, code, now.Add(shift)); ok != want || ok && step != at/30 {
				t.Errorf("%d, clock off by %v: step %d, %v", at, shift, step, ok)
			}
		}
		if shown, err := TOTP(base32Plain.EncodeToString(seed), now); err != nil || shown != code {
			t.Errorf("%s, %v", shown, err)
		}
	}
	if _, ok := matchTOTP(seed, "", time.Unix(59, 0)); ok {
		t.Error("an empty code fits")
	}
	const want = "otpauth://totp/OnlineSMS:a@b.example?issuer=OnlineSMS&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	if got := totpURL(seed, "OnlineSMS", "a@b.example"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDelayGrows(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: 0, 1: 0, 4: 0, 5: time.Second, 6: 2 * time.Second, 7: 4 * time.Second, 14: 512 * time.Second, 15: 15 * time.Minute, 1 << 30: 15 * time.Minute,
	} {
		if got := Delay(failures); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
	}
	for n := range 100 {
		if Delay(n) > Delay(n+1) {
			t.Errorf("the delay after %d failures is longer than after one more", n)
		}
	}
	for tries, want := range map[int]bool{0: false, 1: false, 9: false, 10: true, 11: false, 20: false, 100: true, 110: false, 1000: true, 5000: false} {
		if alerts(tries) != want {
			t.Errorf("%d tries alert: %v", tries, !want)
		}
	}
}

func TestNetworkOf(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.77": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48"} {
		if got := NetworkOf(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if got := NetworkOf(netip.Addr{}); !got.IsValid() {
		t.Errorf("no address: %v", got)
	}
}

func TestRightsOfStages(t *testing.T) {
	all := []string{"messages:send", "messages:read", "users:write", "identity:write", "content:read"}
	for _, test := range []struct {
		role  Role
		stage Stage
		want  string
	}{
		{Owner, StagePending, "session:use"}, {Developer, StagePending, "session:use"},
		{Owner, StagePassword, "session:enrol session:use"}, {Admin, StagePassword, "session:enrol session:use"},
		{Auditor, StagePassword, "messages:read session:enrol session:manage session:use"},
		{Developer, StageComplete, "messages:read messages:send session:enrol session:manage session:use"},
		{Admin, StageComplete, "messages:read messages:send session:enrol session:manage session:use users:write"},
		{Owner, StageComplete, "content:read identity:write messages:read messages:send session:enrol session:manage session:use users:write"},
	} {
		if got := strings.Join(rights(test.role, test.stage, all), " "); got != test.want {
			t.Errorf("%s, %s: %s", test.role, test.stage, got)
		}
	}
}

// hashing is a vault that only hashes.
type hashing struct{ Vault }

func (hashing) Hash(env string, tenant uuid.UUID, value string) (h [16]byte, err error) {
	sum := sha256.Sum256([]byte(env + tenant.String() + value))
	return [16]byte(sum[:16]), nil
}

func TestRecoveryCodes(t *testing.T) {
	u := &User{Tenant: uuid.Must(uuid.NewV7()), ID: uuid.Must(uuid.NewV7())}
	shown, stored, err := newRecoveryCodes(hashing{}, u, rand.Reader)
	if err != nil || len(shown) != 10 || len(stored) != 10 {
		t.Fatalf("%d shown, %d stored, %v", len(shown), len(stored), err)
	}
	for i, code := range shown {
		for _, typed := range []string{code, strings.ToUpper(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " ")} {
			if mac, err := recoveryMAC(hashing{}, u, typed); err != nil || mac != stored[i] {
				t.Errorf("%q is another code, %v", typed, err)
			}
		}
	}
	other := &User{Tenant: u.Tenant, ID: u.Tenant}
	if mac, err := recoveryMAC(hashing{}, other, shown[0]); err != nil || mac == stored[0] {
		t.Errorf("another user's code fits, %v", err)
	}
}

// The token of a link is signed: nothing in it can be changed, and it is refused once it is over, without a look-up.
func TestLinkTokens(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := &Links{Peppers: peppers{}, Random: rand.Reader, Now: func() time.Time { return now }, Console: "https://console.example/password"}
	link, token, err := l.make(&User{ID: uuid.Must(uuid.NewV7())}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := l.read(token)
	if err != nil || parsed.ID != link.ID || !(peppers{}).Matches(linkPrefix+parsed.Secret, link.MAC, link.PepperVersion) {
		t.Errorf("%v, %v", parsed.ID, err)
	}
	if u := l.url(token); !strings.HasPrefix(u, "https://console.example/password#token=osms_link_") {
		t.Error("the token reaches servers")
	}
	for i := range token {
		changed := token[:i] + string(token[i]^1) + token[i+1:]
		if _, err := l.read(changed); err == nil {
			t.Errorf("changed at %d it is taken", i)
		}
	}
	now = now.Add(time.Hour - time.Second)
	if _, err := l.read(token); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	now = now.Add(time.Second)
	if _, err := l.read(token); err == nil {
		t.Error("at its end it is taken")
	}
}

func FuzzParseEmail(f *testing.F) {
	for _, s := range []string{"a@b.example", "A@B.Example", "x", "a@b", `"a b"@c.example`, "a@b.example\r\nBcc: x@y.example", "ü@bücher.example", "a@b@c.example", "Ada <a@b.example>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		email, ok := ParseEmail(s)
		if !ok {
			return
		}
		if strings.ContainsAny(email, " \r\n<>\"") || len(email) > maxEmail || email != strings.ToLower(email) || domainOf(email) == "" {
			t.Errorf("%q is taken as %q", s, email)
		}
		if again, ok := ParseEmail(email); !ok || again != email {
			t.Errorf("%q is not stable: %q", email, again)
		}
	})
}

func FuzzReadLink(f *testing.F) {
	// The same in every process of the fuzzer.
	l := &Links{Peppers: peppers{}, Random: bytes.NewReader(make([]byte, 48)), Now: func() time.Time { return time.Unix(0, 0) }}
	_, token, err := l.make(&User{}, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("osms_link_x.1.1.x")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := l.read(s); err == nil && s != token {
			t.Errorf("%q is taken", s)
		}
	})
}

func TestParseEmail(t *testing.T) {
	for text, want := range map[string]string{
		"Ada@Example.COM": "ada@example.com", " a@b.example ": "a@b.example", "a@b": "", "": "", "a b@c.example": "", "Ada <a@b.example>": "",
		"a@b.example\nBcc: x@y.example": "", strings.Repeat("a", 250) + "@b.example": "",
	} {
		if got, ok := ParseEmail(text); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}

func BenchmarkSessionToken(b *testing.B) {
	s, o := benchSession(b)
	from := Origin{Address: netip.MustParseAddr("192.0.2.1")}
	for b.Loop() {
		if _, err := s.Verify(b.Context(), o.Token, "test", from); err != nil {
			b.Fatal(err)
		}
	}
}

// oneSession is a store of one session.
type oneSession struct{ held Held }

func (o *oneSession) Session(context.Context, string) (Held, error)          { return o.held, nil }
func (o *oneSession) Touch(_ context.Context, _ string, now time.Time) error { return nil }

func benchSession(b *testing.B) (*Sessions, Opened) {
	b.Helper()
	issuer := &Issuer{Peppers: peppers{}, Now: time.Now, Random: rand.Reader}
	o, err := issuer.begin(&User{ID: uuid.Must(uuid.NewV7()), Role: Developer}, StageComplete, Origin{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	store := &oneSession{Held{Session: o.Session, Role: Developer, Active: true}}
	return NewSessions(store, peppers{}, []string{"messages:read", "messages:send"}, time.Now), o
}

// looksOf is a store without sessions that counts what it is asked.
type looksOf struct {
	asked int
	one   *Held
}

func (l *looksOf) Session(_ context.Context, id string) (Held, error) {
	l.asked++
	if l.one != nil && l.one.ID == id {
		return *l.one, nil
	}
	return Held{}, errs.E(errs.NotFound, "SESSION_NOT_FOUND", "", nil)
}

func (l *looksOf) Touch(context.Context, string, time.Time) error { return nil }

// Item 9 for sessions: malformed tokens cost no query; an unknown id and a wrong secret cost one each.
func TestItem9SessionWork(t *testing.T) {
	issuer := &Issuer{Peppers: peppers{}, Now: time.Now, Random: rand.Reader}
	o, err := issuer.begin(&User{ID: uuid.Must(uuid.NewV7()), Role: Developer}, StageComplete, Origin{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	store := &looksOf{one: &Held{Session: o.Session, Role: Developer, Active: true}}
	s := NewSessions(store, peppers{}, nil, time.Now)
	good, _ := tenant.ParseToken(SessionPrefix, o.Token)
	unknown, err := tenant.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong := tenant.Token{ID: good.ID, Secret: unknown.Secret}
	for _, step := range []struct {
		name, token string
		ok          bool
		asked       int
	}{
		{"malformed", o.Token[:len(o.Token)-1] + "!", false, 0}, {"first use", o.Token, true, 1}, {"second use", o.Token, true, 0},
		{"wrong secret", wrong.Write(SessionPrefix), false, 1}, {"unknown", unknown.Write(SessionPrefix), false, 1}, {"still right", o.Token, true, 0},
	} {
		before := store.asked
		if _, err := s.Verify(t.Context(), step.token, "test", Origin{}); (err == nil) != step.ok || store.asked-before != step.asked {
			t.Errorf("%s: %v, %d queries", step.name, err, store.asked-before)
		}
	}
}
