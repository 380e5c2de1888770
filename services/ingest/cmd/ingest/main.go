// Command ingest is the public door: it accepts messages and knows what became of them.
package main

import (
	"context"

	"github.com/onlinesms/onlinesms/services/ingest/internal/app"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

func main() {
	service.Main("ingest", map[string]func(context.Context, []string) error{
		"serve":          app.Serve,
		"migrate":        app.Migrate,
		"bootstrap":      app.Bootstrap,
		"init-secrets":   app.InitSecrets,
		"rotate-secret":  app.RotateSecret,
		"rewrap-keyring": app.RewrapKeyring,
		"retire-secret":  app.RetireSecret,
		"dead-letters":   app.DeadLetters,
	})
}
