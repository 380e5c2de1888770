// Command dispatch brings cleared messages to operators and joins their receipts.
package main

import (
	"context"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/app"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

func main() {
	service.Main("dispatch", map[string]func(context.Context, []string) error{
		"serve":           app.Serve,
		"migrate":         app.Migrate,
		"dead-letters":    app.DeadLetters,
		"parked-receipts": app.ParkedReceipts,
	})
}
