package person

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Cost is what one argon2id run costs (RFC 9106).
type Cost struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
}

// StandardCost is the least that OWASP's password storage guidance allows for argon2id.
var StandardCost = Cost{Memory: 19 << 10, Passes: 2, Lanes: 1}

const (
	saltBytes = 16
	hashBytes = 32

	// maxRuns is how many runs there are at a time in this process: about 40 MiB.
	maxRuns = 2
	// maxPatience is how long a login waits for its run.
	maxPatience = 10 * time.Second
)

// Hasher computes and compares password hashes. It is safe for concurrent use.
type Hasher struct {
	cost  Cost
	slots chan struct{}
	dummy string       // the hash of no password
	runs  atomic.Int64 // so far
}

// NewHasher makes a hasher; new hashes have that cost.
func NewHasher(cost Cost) *Hasher {
	h := &Hasher{cost: cost, slots: make(chan struct{}, maxRuns)}
	h.dummy = h.hash(rand.Text())
	return h
}

// Runs is how many argon2id runs there were: tests compare the work of known and unknown users by it.
func (h *Hasher) Runs() int64 { return h.runs.Load() }

// Enter waits for one of the few places at which passwords are computed; leave gives it back. The error is
// errs.Unavailable when it takes too long.
func (h *Hasher) Enter(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, maxPatience)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "too many people log in at once; try again", ctx.Err())
	}
}

// Hash is password as it is stored: $argon2id$v=19$m=…,t=…,p=…$salt$hash. Call it after Enter.
func (h *Hasher) Hash(password string) string { return h.hash(password) }

func (h *Hasher) hash(password string) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails
	sum := h.run(password, salt, h.cost, hashBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.Memory, h.cost.Passes, h.cost.Lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// run is one argon2id of the password in its normal form (NIST SP 800-63B-4, 3.1.1.2: NFKC).
func (h *Hasher) run(password string, salt []byte, c Cost, size uint32) []byte {
	h.runs.Add(1)
	return argon2.IDKey([]byte(norm.NFKC.String(password)), salt, c.Passes, c.Memory, c.Lanes, size)
}

// Compare tells whether stored is the hash of password, and whether it is to be made anew because the cost has changed
// since. An empty stored form costs a run too and is never right. Call it after Enter.
func (h *Hasher) Compare(password, stored string) (right, outdated bool) {
	none := stored == ""
	if none {
		stored = h.dummy
	}
	cost, salt, want, ok := parseHash(stored)
	if !ok {
		cost, salt, want, _ = parseHash(h.dummy)
	}
	sum := h.run(password, salt, cost, uint32(len(want)))
	return subtle.ConstantTimeCompare(sum, want) == 1 && ok && !none, cost != h.cost
}

// parseHash takes a stored form apart; ok is false for what we have not written.
func parseHash(stored string) (c Cost, salt, sum []byte, ok bool) {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.Memory, &c.Passes, &c.Lanes); err != nil || c.Passes < 1 || c.Lanes < 1 || c.Memory > 1<<20 {
		return c, nil, nil, false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return c, nil, nil, false
	}
	sum, err = base64.RawStdEncoding.DecodeString(parts[5])
	return c, salt, sum, err == nil && len(sum) >= 16
}
