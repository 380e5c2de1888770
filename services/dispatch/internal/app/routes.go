package app

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// routesEvery is how often the routes file is looked at.
const routesEvery = 2 * time.Second

// watchRoutes takes changes of the routes file up without a restart. A file that is wrong changes nothing; what is wrong
// with it is logged once.
func (d *dispatch) watchRoutes(ctx context.Context) error {
	last, err := os.ReadFile(d.cfg.RoutesFile)
	if err != nil {
		return err
	}
	for service.Pause(ctx, routesEvery) {
		now, err := os.ReadFile(d.cfg.RoutesFile)
		if err != nil || bytes.Equal(now, last) { // a file being replaced is there again at the next look
			continue
		}
		last = now
		if err := d.reroute(now); err != nil {
			d.log.ErrorContext(ctx, "the changed routes file is not valid, the old routes stay", slog.Any("error", err))
			continue
		}
		d.log.InfoContext(ctx, "routes have changed")
	}
	return nil
}

func (d *dispatch) reroute(raw []byte) error {
	routes, err := route.Parse(raw)
	if err != nil {
		return err
	}
	encrypted, err := routeTLS(routes)
	if err != nil {
		return err
	}
	d.engine.Reroute(routes, encrypted)
	return nil
}
