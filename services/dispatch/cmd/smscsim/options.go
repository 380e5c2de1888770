package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smsc"
)

// options is the command line; see parseOptions for the defaults.
type options struct {
	smppAddr  string
	httpAddr  string
	readyFile string
	accounts  map[string]string
	knobs     smsc.Knobs
	seed      uint64
	check     bool
}

// parseOptions reads flags; a flag not given takes its environment variable, and
// without that its default.
func parseOptions(args []string, getenv func(string) string) (options, error) {
	o := options{accounts: map[string]string{}, knobs: smsc.DefaultKnobs()}
	if object := getenv("SMSCSIM_KNOBS"); object != "" {
		var err error
		if o.knobs, err = o.knobs.Merge([]byte(object)); err != nil {
			return o, fmt.Errorf("SMSCSIM_KNOBS: %w", err)
		}
	}
	f := flag.NewFlagSet("smscsim", flag.ContinueOnError)
	f.StringVar(&o.smppAddr, "smpp-addr", cmp.Or(getenv("SMSCSIM_SMPP_ADDR"), "127.0.0.1:2775"),
		"SMPP `address`; port 0 picks a free one; SMSCSIM_SMPP_ADDR")
	f.StringVar(&o.httpAddr, "http-addr", cmp.Or(getenv("SMSCSIM_HTTP_ADDR"), "127.0.0.1:2776"),
		"control `address`; port 0 picks a free one; SMSCSIM_HTTP_ADDR")
	f.StringVar(&o.readyFile, "ready-file", getenv("SMSCSIM_READY_FILE"),
		"`file` to write the addresses to, as JSON, once listening; SMSCSIM_READY_FILE")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the randomness behind rates")
	f.BoolVar(&o.check, "check", false, "ask the simulator at -http-addr whether it is healthy, and exit")
	f.Func("account", "`system_id:password` of a bind, repeatable; SMSCSIM_ACCOUNTS, separated by commas; default onlinesms:secret",
		o.addAccount)
	f.Func("knob", "initial knob as `name=value`, value in JSON or a plain word, repeatable; SMSCSIM_KNOBS, a JSON object",
		o.setKnob)
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, o.defaultAccounts(getenv("SMSCSIM_ACCOUNTS"))
}

func (o *options) defaultAccounts(list string) error {
	if len(o.accounts) > 0 {
		return nil
	}
	for pair := range strings.SplitSeq(cmp.Or(list, "onlinesms:secret"), ",") {
		if err := o.addAccount(pair); err != nil {
			return fmt.Errorf("SMSCSIM_ACCOUNTS: %w", err)
		}
	}
	return nil
}

func (o *options) addAccount(pair string) error {
	id, password, ok := strings.Cut(pair, ":")
	if !ok || id == "" {
		return errors.New("want system_id:password")
	}
	o.accounts[id] = password
	return nil
}

func (o *options) setKnob(pair string) error {
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return errors.New("want name=value")
	}
	if !json.Valid([]byte(value)) {
		quoted, err := json.Marshal(value)
		if err != nil {
			return err
		}
		value = string(quoted)
	}
	knobs, err := o.knobs.Merge(fmt.Appendf(nil, "{%q: %s}", name, value))
	if err != nil {
		return err
	}
	o.knobs = knobs
	return nil
}
