package inbound

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// PartsWithin is how long the parts of a message are waited for; what is there then is told with gaps.
const PartsWithin = 6 * time.Hour

// gap stands in a text where a part is missing.
const gap = " … "

// Stored is a part as it is kept.
type Stored struct {
	ID       uuid.UUID
	Tenant   Owner
	Env      string
	Route    string
	Group    [16]byte
	Concat   encoding.Concat
	To       string
	Sender   [16]byte // keyed hash of the number
	Received time.Time
	Hash     [32]byte
	Content  [32]byte
	Sealed   []byte

	fresh *Part // of the batch at hand: need not be opened
}

// Message is a whole message from a handset.
type Message struct {
	ID         uuid.UUID
	Tenant     Owner
	Env        string
	Route      string
	To         string
	Sender     [16]byte
	Masked     string
	Received   time.Time // of its last part
	Parts      int
	Incomplete bool
	Keyword    string
	Action     Action
	Hash       [32]byte // of the PDU of its first part
	Sealed     []byte   // number and text
	Wishes     []Wish   // one for each tenant that owns the address; none without STOP or START
}

// Wish is what a keyword asks of one tenant.
type Wish struct {
	Tenant Owner
	Sender [16]byte // the number's keyed hash, of this tenant
}

// Joiner makes one message of its parts, which are in order and all there but for an incomplete one.
type Joiner func(ctx context.Context, parts []Stored, incomplete bool) (Message, error)

// Store keeps parts and messages. Errors have the kinds of services/internal/errs.
type Store interface {
	// Owners answers the tenants that sent by headers lately, the latest first.
	Owners(ctx context.Context, addresses []Address) (map[Address][]Owner, error)
	// Keywords answers a tenant's own words.
	Keywords(ctx context.Context, tenant Owner, env string) (map[string]Action, error)
	// Receive keeps the parts that are new and, with the events they cause, every message that is whole now.
	Receive(ctx context.Context, parts []Stored, join Joiner) error
	// Overdue makes messages of the parts that were waiting for others before then, and answers how many.
	Overdue(ctx context.Context, before time.Time, join Joiner) (int, error)
}

// Sealer seals and opens; *seal.Sealer with its Opener does.
type Sealer interface {
	Seal(ctx context.Context, dst, plaintext []byte, b seal.Binding) ([]byte, error)
}

// Opener opens what was sealed.
type Opener interface {
	Open(ctx context.Context, dst, sealed []byte, b seal.Binding) ([]byte, error)
}

// Config is what a Receiver works with.
type Config struct {
	Store  Store
	Sealer Sealer
	Opener Opener
	// Index answers the keyed hash of a number.
	Index func(env string, tenant Owner, number string) ([16]byte, error)
	// Configured answers the tenant an address is configured for on a route.
	Configured func(route, to string) (Owner, bool)
	NewID      func() uuid.UUID
	Now        func() time.Time
}

// Receiver takes parts. It is safe for concurrent use.
type Receiver struct{ cfg Config }

// NewReceiver makes one.
func NewReceiver(cfg Config) *Receiver { return &Receiver{cfg} }

// Receive makes parts durable, with all they cause: once it returns nil the operator may be answered. Called again with
// the same parts, it does nothing twice. errs.Unavailable while database or keys are away.
func (r *Receiver) Receive(ctx context.Context, parts []Part) error {
	owners, err := r.owners(ctx, parts)
	if err != nil {
		return err
	}
	stored := make([]Stored, len(parts))
	for i := range parts {
		if stored[i], err = r.store(ctx, &parts[i], owners[i][0]); err != nil {
			return err
		}
	}
	return r.cfg.Store.Receive(ctx, stored, r.join)
}

// Overdue makes messages of parts whose others did not come in time, and answers how many.
func (r *Receiver) Overdue(ctx context.Context) (int, error) {
	return r.cfg.Store.Overdue(ctx, r.cfg.Now().Add(-PartsWithin), r.join)
}

// owners answers each part's owners, one at least.
func (r *Receiver) owners(ctx context.Context, parts []Part) ([][]Owner, error) {
	addresses := make([]Address, len(parts))
	for i := range parts {
		addresses[i] = Address{parts[i].Env, Header(parts[i].To)}
	}
	senders, err := r.cfg.Store.Owners(ctx, addresses)
	if err != nil {
		return nil, err
	}
	list := make([][]Owner, len(parts))
	for i := range parts {
		list[i] = r.ranked(parts[i].Route, parts[i].To, senders[addresses[i]])
	}
	return list, nil
}

// ranked puts the configured owner of an address first. Of an address nobody owns it is the platform.
func (r *Receiver) ranked(route, to string, senders []Owner) []Owner {
	if owner, ok := r.cfg.Configured(route, to); ok {
		return append([]Owner{owner}, slices.DeleteFunc(slices.Clone(senders), func(o Owner) bool { return o == owner })...)
	}
	if len(senders) == 0 {
		return []Owner{uuid.Nil}
	}
	return senders
}

// Header is an address without what operators put around a header: a prefix of operator and circle (`VM-`), a suffix of
// category (`-P`).
func Header(to string) string {
	s := strings.ToUpper(to)
	if len(s) > 3 && s[2] == '-' {
		s = s[3:]
	}
	if n := len(s); n > 2 && s[n-2] == '-' {
		s = s[:n-2]
	}
	return s
}

func (r *Receiver) store(ctx context.Context, p *Part, owner Owner) (Stored, error) {
	s := Stored{
		ID: r.cfg.NewID(), Tenant: owner, Env: p.Env, Route: p.Route, Group: p.Group(), Concat: p.Concat, To: p.To,
		Received: p.Received, Hash: p.Hash, Content: p.Content, fresh: p,
	}
	var err error
	if s.Sender, err = r.cfg.Index(p.Env, owner, p.From); err != nil {
		return s, err
	}
	if p.Concat.Total == 1 {
		return s, nil // whole at once: sealed as a message
	}
	s.Sealed, err = r.seal(ctx, s.Env, owner, s.ID, &dispatchv1.InboundContent{
		From: p.From, DataCoding: uint32(p.Text.DataCoding), Udh: p.Text.UDH, Body: p.Text.Body,
	})
	return s, err
}

func (r *Receiver) seal(ctx context.Context, env string, tenant Owner, id uuid.UUID, c *dispatchv1.InboundContent) ([]byte, error) {
	plain, err := proto.Marshal(c)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return r.cfg.Sealer.Seal(ctx, nil, plain, Binding(env, tenant, id))
}

// Binding is the place a part's or a message's content is sealed for.
func Binding(env string, tenant Owner, id uuid.UUID) seal.Binding {
	return seal.Binding{Env: env, Tenant: tenant, Message: id, Class: seal.ClassInbound}
}

// join implements Joiner.
func (r *Receiver) join(ctx context.Context, parts []Stored, incomplete bool) (Message, error) {
	first, last := &parts[0], &parts[0]
	for i := range parts {
		if parts[i].Received.Before(first.Received) {
			first = &parts[i]
		}
		if parts[i].Received.After(last.Received) {
			last = &parts[i]
		}
	}
	m := Message{
		ID: r.cfg.NewID(), Tenant: first.Tenant, Env: first.Env, Route: first.Route, To: first.To, Sender: first.Sender,
		Received: last.Received, Parts: len(parts), Incomplete: incomplete, Hash: first.Hash,
	}
	from, text, err := r.read(ctx, parts)
	if err != nil {
		return m, err
	}
	m.Masked = msisdn.Mask(from)
	if err := r.act(ctx, &m, from, text); err != nil {
		return m, err
	}
	m.Sealed, err = r.seal(ctx, m.Env, m.Tenant, m.ID, &dispatchv1.InboundContent{From: from, Text: text})
	return m, err
}

// act looks up the keyword and says whom a wish is for. In a text with gaps a keyword is none.
func (r *Receiver) act(ctx context.Context, m *Message, from, text string) error {
	own, err := r.cfg.Store.Keywords(ctx, m.Tenant, m.Env)
	if err != nil {
		return err
	}
	if !m.Incomplete {
		m.Keyword, m.Action = Match(own, text)
	}
	if !m.Action.Wish() || m.Tenant == uuid.Nil {
		return nil
	}
	address := Address{m.Env, Header(m.To)}
	owners, err := r.cfg.Store.Owners(ctx, []Address{address})
	if err != nil {
		return err
	}
	for _, owner := range r.ranked(m.Route, m.To, owners[address]) {
		sender, err := r.cfg.Index(m.Env, owner, from)
		if err != nil {
			return err
		}
		m.Wishes = append(m.Wishes, Wish{owner, sender})
	}
	return nil
}

// read answers sender and text of parts in order. What cannot be read becomes a gap: the rest is worth keeping.
func (r *Receiver) read(ctx context.Context, parts []Stored) (from, text string, err error) {
	var run []encoding.Part
	var b strings.Builder
	flush := func() {
		if joined, err := encoding.Join(run); err == nil {
			b.WriteString(joined)
		} else {
			b.WriteString(gap)
		}
		run = run[:0]
	}
	next := byte(1)
	for i := range parts {
		sender, part, err := r.open(ctx, &parts[i])
		if kind := errs.KindOf(err); err != nil && kind != errs.NotFound && kind != errs.Invalid {
			return "", "", err
		} else if err != nil { // erased, or damaged for ever
			flush()
			b.WriteString(gap)
			next = parts[i].Concat.Seq + 1
			continue
		}
		from = sender
		if parts[i].Concat.Seq != next {
			flush()
			b.WriteString(gap)
		}
		run = append(run, part)
		next = parts[i].Concat.Seq + 1
	}
	flush()
	if last := &parts[len(parts)-1]; last.Concat.Seq != last.Concat.Total {
		b.WriteString(gap)
	}
	return from, strings.ToValidUTF8(b.String(), "\uFFFD"), nil
}

func (r *Receiver) open(ctx context.Context, s *Stored) (from string, p encoding.Part, err error) {
	if s.fresh != nil {
		return s.fresh.From, s.fresh.Text, nil
	}
	plain, err := r.cfg.Opener.Open(ctx, nil, s.Sealed, Binding(s.Env, s.Tenant, s.ID))
	if err != nil {
		return "", p, err
	}
	defer clear(plain)
	c := &dispatchv1.InboundContent{}
	if err := proto.Unmarshal(plain, c); err != nil {
		return "", p, errs.E(errs.Invalid, "CONTENT_UNREADABLE", "the content cannot be read", errors.New("no InboundContent"))
	}
	return c.GetFrom(), encoding.Part{DataCoding: byte(c.GetDataCoding()), UDH: c.GetUdh(), Body: c.GetBody()}, nil
}
