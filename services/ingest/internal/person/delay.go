package person

import (
	"context"
	"net/netip"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Kinds of tries that are counted apart: who knows a password must not be able to guess codes for ever.
const (
	kindPassword = "password"
	kindCode     = "code"
	kindReset    = "reset"
)

const (
	// freeTries is how many wrong tries in a row cost nothing but themselves.
	freeTries = 5
	// maxDelay is the longest a network waits for its next try on an account.
	maxDelay = 15 * time.Minute
	// Forgotten is how long after the last try the count begins anew.
	Forgotten = 24 * time.Hour
	// firstAlert is the number of tries the tenant is told of, and then ten times as many, and so on.
	firstAlert = 10
)

// Delay is how long after its failures-th wrong try in a row a network waits for the next: nothing for the first four,
// then 1 s, doubling up to 15 minutes.
func Delay(failures int) time.Duration {
	if failures < freeTries {
		return 0
	}
	if failures-freeTries > 10 {
		return maxDelay
	}
	return min(maxDelay, time.Second<<(failures-freeTries))
}

// Target is what is counted: an address, whoever has it in whichever tenant, from one network. Were the count a tenant's,
// an address tried with and without tenant would tell by its delay whether somebody has it.
type Target struct {
	Account [16]byte // index of the address
	Network netip.Prefix
	Kind    string
}

// Tally is how a target stands once a try is counted.
type Tally struct {
	Failures int           // compared, this one included
	Tries    int           // all, those that came too early included
	Wait     time.Duration // above 0: this one came too early and must not be compared
}

// Failures counts tries; each call is a transaction of its own, committed when it returns.
type Failures interface {
	// CountTry counts a try at now before it is compared. As long as the delay of the tries before lasts the answer says to
	// wait, and only Tries rises. Concurrent tries of a target count one after the other.
	CountTry(ctx context.Context, t Target, now time.Time) (Tally, error)
	// ForgetTries forgets a target after a success.
	ForgetTries(ctx context.Context, t Target) error
}

// NetworkOf is the network an address is counted with: what one customer of a provider usually gets.
func NetworkOf(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil || !a.IsValid() {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 48) // no address: all of them together
	}
	return p
}

// alerts tells whether the tenant is to be told of that many tries: 10, 100, 1000 and so on.
func alerts(tries int) bool {
	for tries >= firstAlert && tries%10 == 0 {
		if tries == firstAlert {
			return true
		}
		tries /= 10
	}
	return false
}

// errDelayed refuses a try that came too early.
func errDelayed(wait time.Duration) error {
	return &errs.Error{
		Kind: errs.Exhausted, Reason: "LOGIN_DELAYED", Message: "too many wrong tries from this network; try again after the time in Retry-After",
		Metadata: map[string]string{"retry_after": wait.Round(time.Millisecond).String()},
	}
}
