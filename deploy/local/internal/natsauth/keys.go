// Package natsauth sets up NATS in operator mode: one operator, an account with JetStream for the services, where each
// has a user with the least it needs, and an account without JetStream for outside consumers, which imports the few
// subjects by which stream FEED is read. Keys are made once and kept; JSON web tokens are made again at every start, so
// that changed grants take effect.
package natsauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nkeys"
)

// Keys are the seeds of a platform's NATS identities.
type Keys struct {
	Operator string            `json:"operator"`
	System   string            `json:"system"`
	Services string            `json:"services"`
	Outside  string            `json:"outside"`
	Users    map[string]string `json:"users"`
}

// OpenKeys reads the seeds from file, makes those that are missing for the named users, and writes them back (mode 0600).
func OpenKeys(file string, users []string) (*Keys, error) {
	keys := &Keys{Users: map[string]string{}}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, keys)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read NATS keys: %w", err)
	}
	if err := keys.complete(users); err != nil {
		return nil, err
	}
	data, err = json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return nil, err
	}
	return keys, os.WriteFile(file, append(data, '\n'), 0o600)
}

func (k *Keys) complete(users []string) error {
	make := func(seed string, create func() (nkeys.KeyPair, error)) (string, error) {
		if seed != "" {
			return seed, nil
		}
		pair, err := create()
		if err != nil {
			return "", err
		}
		made, err := pair.Seed()
		return string(made), err
	}
	var errs [4]error
	k.Operator, errs[0] = make(k.Operator, nkeys.CreateOperator)
	k.System, errs[1] = make(k.System, nkeys.CreateAccount)
	k.Services, errs[2] = make(k.Services, nkeys.CreateAccount)
	k.Outside, errs[3] = make(k.Outside, nkeys.CreateAccount)
	for _, user := range users {
		seed, err := make(k.Users[user], nkeys.CreateUser)
		if err != nil {
			return err
		}
		k.Users[user] = seed
	}
	return errors.Join(errs[:]...)
}
