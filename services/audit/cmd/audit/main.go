// Command audit remembers, provably: it gives every event of every service its place in the tenant's log.
package main

import (
	"context"

	"github.com/onlinesms/onlinesms/services/audit/internal/app"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

func main() {
	service.Main("audit", map[string]func(context.Context, []string) error{
		"serve":        app.Serve,
		"migrate":      app.Migrate,
		"dead-letters": app.DeadLetters,
	})
}
