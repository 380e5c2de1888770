package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// Functions of telemarketers in a chain: an aggregator takes traffic and hands it on, the deliverer submits it to the
// operator and ends the chain.
const (
	RoleAggregator = "TM-AF"
	RoleDeliverer  = "TM-DF"
)

// Link is a telemarketer of a chain as the registry has it.
type Link struct {
	ID     string // 19 digits
	Role   string // RoleAggregator or RoleDeliverer; empty where the registry does not have it
	Status policy.Status
}

// Chain is an entity's chain of telemarketers, ready for decisions. The zero value is none.
type Chain struct {
	policy.Chain
	Hash []byte // 32 bytes; nil when no chain is approved
}

// NewChain makes the chain of an entity from its links in order, the deliverer last. portalHash is the hash the DLT portal
// shows, 64 hex digits, or empty: another than the computed one marks the chain. It fails on ids that are none, without a
// link, on an aggregator that ends the chain, and on a hash of another form.
func NewChain(entity string, links []Link, status policy.Status, portalHash string) (Chain, error) {
	ids := make([]string, len(links))
	for i, l := range links {
		ids[i] = l.ID
	}
	hash, err := ChainHash(entity, ids)
	if err != nil {
		return Chain{}, err
	}
	last := links[len(links)-1]
	if last.Role == RoleAggregator {
		return Chain{}, fmt.Errorf("telemarketer %s ends the chain and does not deliver: its role is %s", last.ID, last.Role)
	}
	c := Chain{Chain: policy.Chain{Status: status, Telemarketer: policy.Active, Last: last.ID}, Hash: hash[:]}
	for _, l := range links {
		if c.Telemarketer == policy.Active { // the first that is not
			c.Telemarketer = l.Status
		}
	}
	c.Differs, err = differs(hash, portalHash)
	return c, err
}

// differs tells whether a portal shows another hash. Portals write the digits in either case.
func differs(hash [32]byte, portal string) (bool, error) {
	if portal == "" {
		return false, nil
	}
	shown, err := hex.DecodeString(portal)
	if err != nil || len(shown) != len(hash) {
		return false, errors.New("the chain's hash as the portal shows it is not 64 hex digits")
	}
	return [32]byte(shown) != hash, nil
}

// ChainHash is SHA-256 over the ids joined by commas, the entity first and the delivering telemarketer last; TLV 0x1402
// carries it as 64 lower-case hex digits (PE-TM binding, TRAI direction of 20 August 2024). It fails without a telemarketer
// and on anything that is not an id, so that no stray space, newline or %2C can enter the hash.
func ChainHash(entity string, telemarketers []string) ([32]byte, error) {
	if len(telemarketers) == 0 {
		return [32]byte{}, errors.New("the chain is empty: it needs at least the delivering telemarketer")
	}
	ids := append([]string{entity}, telemarketers...)
	for _, id := range ids {
		if !policy.IsID(id) {
			return [32]byte{}, fmt.Errorf("%q in the chain is not a 19-digit id", id)
		}
	}
	return sha256.Sum256([]byte(strings.Join(ids, ","))), nil
}
