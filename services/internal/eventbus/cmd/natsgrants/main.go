// Command natsgrants prints the NATS permissions of the house as JSON, for those who write the server's users:
//
//	natsgrants                      every service: {"<service>": {"publish": […], "subscribe": […]}}
//	natsgrants exports              what the services' account exports to the account of outside consumers
//	natsgrants feed <tenant> <env>  one outside consumer of the FEED stream, with its consumer, filter and inbox prefix
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/eventbus/grants"
)

func main() {
	out, err := answer(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "natsgrants:", err)
		os.Exit(2)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		os.Exit(1)
	}
}

// feed is what an outside consumer must know.
type feed struct {
	grants.Grant
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
	Filter   string `json:"filter"`
	Inbox    string `json:"inbox_prefix"`
}

func answer(args []string) (any, error) {
	if len(args) == 0 {
		return grants.All(), nil
	}
	if len(args) == 1 && args[0] == "exports" {
		return grants.Exports(), nil
	}
	if len(args) != 3 || args[0] != "feed" || (args[2] != "live" && args[2] != "test") {
		return nil, fmt.Errorf("usage: natsgrants [exports | feed <tenant> live|test]")
	}
	tenant, err := uuid.Parse(args[1])
	if err != nil {
		return nil, fmt.Errorf("tenant: %w", err)
	}
	id, env := tenant.String(), args[2]
	return feed{grants.Feed(id, env), "FEED", grants.FeedConsumer(id, env), grants.FeedFilter(id, env),
		grants.FeedInbox(id, env)}, nil
}
