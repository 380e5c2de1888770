package route

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// Environments as they stand in subjects, keys and data.
const (
	Live = "live"
	Test = "test"
)

// IST is the zone Indian operators write receipts' dates in (DLT rules 8.2); there is no daylight saving.
var IST = time.FixedZone("IST", 19800)

// Route is one account at one operator's SMSC. See the package comment for what each setting means.
type Route struct {
	Name            string            `yaml:"name"`
	Envs            []string          `yaml:"env"`
	Addr            string            `yaml:"addr"`
	TLS             TLS               `yaml:"tls"`
	SystemID        string            `yaml:"system_id"`
	Password        string            `yaml:"password"`
	PasswordFile    string            `yaml:"password_file"`
	SystemType      string            `yaml:"system_type"`
	Binds           int               `yaml:"binds"`
	Window          int               `yaml:"window"`
	TPS             int               `yaml:"tps"`
	Tags            Tags              `yaml:"tags"`
	Source          Address           `yaml:"source"`
	Destination     Address           `yaml:"destination"`
	ResponseID      Notation          `yaml:"response_id"`
	ReceiptID       Notation          `yaml:"receipt_id"`
	ReceiptZone     string            `yaml:"receipt_zone"`
	SubmitTimeout   time.Duration     `yaml:"submit_timeout"`
	EnquireInterval time.Duration     `yaml:"enquire_interval"`
	Codes           map[string]string `yaml:"codes"`

	table *Table
}

// TLS says whether and how the connection is encrypted; the system's roots are used without a CAFile.
type TLS struct {
	Enabled    bool   `yaml:"enabled"`
	CAFile     string `yaml:"ca_file"`
	ServerName string `yaml:"server_name"`
}

// Tags are the optional parameters an Indian operator wants on every segment (DLT rules 3.3); zero leaves one out.
type Tags struct {
	Entity   uint16 `yaml:"entity"`
	Template uint16 `yaml:"template"`
	Chain    uint16 `yaml:"chain"`
}

// Address is a type of number and a numbering plan (SMPP 3.4 5.2.5, 5.2.6).
type Address struct {
	TON byte `yaml:"ton"`
	NPI byte `yaml:"npi"`
}

// Env is the route's one environment.
func (r *Route) Env() string { return r.Envs[0] }

// Zone is the zone of the dates in the route's receipts.
func (r *Route) Zone() *time.Location {
	if r.ReceiptZone == "UTC" {
		return time.UTC
	}
	return IST
}

// Meaning says what a code of this operator means: the route's own table first, then the shared one. A code that
// nobody knows is permanent (DLT rules 8.3).
func (r *Route) Meaning(code string) Meaning {
	if reason, ok := r.Codes[code]; ok {
		return Meaning{Reason: reason, Class: Permanent, Known: true}
	}
	return r.table.Meaning(code)
}

// Load reads the routes of a file and their passwords. An error names every setting that is wrong, never a password.
func Load(file string) (*Routes, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return Parse(raw)
}

// Parse is Load without the file; password files are still read.
func Parse(raw []byte) (*Routes, error) {
	var doc struct {
		Routes []*Route `yaml:"routes"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	table, err := LoadTable()
	if err != nil {
		return nil, err
	}
	problems := make([]error, 0, len(doc.Routes))
	for _, r := range doc.Routes {
		r.fill()
		r.table = table
		problems = append(problems, r.validate(), r.readPassword())
	}
	problems = append(problems, distinct(doc.Routes))
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return &Routes{list: doc.Routes}, nil
}

// UnmarshalYAML sets the defaults a zero value could not stand for before it reads what the file says.
func (r *Route) UnmarshalYAML(node *yaml.Node) error {
	type plain Route
	p := plain{
		Tags:   Tags{Entity: 0x1400, Template: 0x1401, Chain: 0x1402},
		Source: Address{TON: 5, NPI: 0}, Destination: Address{TON: 1, NPI: 1},
	}
	if err := unknownField(node); err != nil {
		return err
	}
	err := node.Decode(&p)
	*r = Route(p)
	return err
}

func (r *Route) fill() {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&r.Binds, 1)
	def(&r.Window, 100)
	def(&r.TPS, 100)
	if r.SubmitTimeout == 0 {
		r.SubmitTimeout = 30 * time.Second
	}
	if r.EnquireInterval == 0 {
		r.EnquireInterval = 30 * time.Second
	}
	if r.ReceiptZone == "" {
		r.ReceiptZone = "IST"
	}
}

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func (r *Route) validate() error {
	var wrong []string
	check := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	check(name.MatchString(r.Name), "name is not [a-z0-9-]{1,32}")
	check(len(r.Envs) == 1 && (r.Envs[0] == Live || r.Envs[0] == Test), "env is not exactly one of live and test")
	check(strings.Contains(r.Addr, ":"), "addr is not host:port")
	check(r.SystemID != "" && len(r.SystemID) <= 15, "system_id is not 1..15 octets")
	check(r.Binds >= 1 && r.Binds <= 64, "binds is not 1..64")
	check(r.Window >= 10 && r.Window <= 65536, "window is not 10..65536")
	check(r.TPS >= 1, "tps is not 1 or more")
	check(r.ResponseID.valid() && r.ReceiptID.valid(), "response_id or receipt_id is not as_is, decimal or hex")
	check(r.ReceiptZone == "IST" || r.ReceiptZone == "UTC", "receipt_zone is not IST or UTC")
	check(r.Password == "" || r.PasswordFile == "", "password and password_file are both set")
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("route %q: %s", r.Name, strings.Join(wrong, "; "))
}

func (r *Route) readPassword() error {
	if r.PasswordFile == "" {
		password, err := secret.Read(context.Background(), secret.Ref(r.Password))
		if err != nil {
			return fmt.Errorf("route %q: password: %w", r.Name, err)
		}
		r.Password = string(password)
		return nil
	}
	raw, err := os.ReadFile(r.PasswordFile)
	if err != nil {
		return fmt.Errorf("route %q: password_file: %w", r.Name, err)
	}
	r.Password = strings.TrimRight(string(raw), "\r\n")
	return nil
}

// distinct refuses two routes of one name, which would share rows, and two of one account, whose receipts could come
// on the other's bind.
func distinct(routes []*Route) error {
	seen := map[string]string{}
	for _, r := range routes {
		for _, key := range []string{"name " + r.Name, "account " + r.SystemID + " at " + r.Addr} {
			if other, ok := seen[key]; ok {
				return fmt.Errorf("routes %q and %q have the same %s", other, r.Name, key)
			}
			seen[key] = r.Name
		}
	}
	return nil
}

var settings = []string{
	"name", "env", "addr", "tls", "system_id", "password", "password_file", "system_type", "binds", "window", "tps",
	"tags", "source", "destination", "response_id", "receipt_id", "receipt_zone", "submit_timeout",
	"enquire_interval", "codes",
}

// unknownField refuses a misspelt setting: a decoder's KnownFields does not reach into UnmarshalYAML.
func unknownField(node *yaml.Node) error {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; !slices.Contains(settings, key.Value) {
			return fmt.Errorf("line %d: there is no setting %q", key.Line, key.Value)
		}
	}
	return nil
}
