// Command compliance decides: it checks every accepted message against the DLT rules before it can reach an operator.
package main

import (
	"context"

	"github.com/onlinesms/onlinesms/services/compliance/internal/app"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

func main() {
	service.Main("compliance", map[string]func(context.Context, []string) error{
		"serve":              app.Serve,
		"migrate":            app.Migrate,
		"import":             app.Import,
		"export":             app.Export,
		"dead-letters":       app.DeadLetters,
		"import-preferences": app.ImportPreferences,
		"scrub":              app.Scrub,
	})
}
