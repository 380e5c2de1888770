package outbox

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// deadLettersUsage is the help of `<service> dead-letters`.
const deadLettersUsage = "dead-letters list | dead-letters replay <id> | dead-letters replay all"

// listed bounds one listing and one `replay all`: more are shown by asking again.
const listed = 1000

// Command is the subcommand `dead-letters` of every service: it lists the events that were given up, and hands them to
// the service's own handler again. A replay has the effect the delivery would have had, once, whatever runs beside it.
func (d *DeadLetters) Command(ctx context.Context, args []string, handler eventbus.Handler, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "list":
		return d.list(ctx, out)
	case len(args) == 2 && args[0] == "replay" && args[1] == "all":
		return d.replayAll(ctx, handler, out)
	case len(args) == 2 && args[0] == "replay":
		id, err := uuid.Parse(args[1])
		if err != nil {
			return fmt.Errorf("%w: %q is no id; %s", service.ErrUsage, args[1], deadLettersUsage)
		}
		return d.replay(ctx, id, handler, out)
	}
	return fmt.Errorf("%w: %s", service.ErrUsage, deadLettersUsage)
}

func (d *DeadLetters) list(ctx context.Context, out io.Writer) error {
	letters, err := d.List(ctx, listed)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSAVED\tDURABLE\tSUBJECT\tATTEMPTS\tREASON")
	for _, l := range letters {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", l.ID, l.Saved.Format(time.RFC3339), l.Durable, l.Subject, l.Attempts, l.Reason)
	}
	return table.Flush()
}

func (d *DeadLetters) replayAll(ctx context.Context, handler eventbus.Handler, out io.Writer) error {
	letters, err := d.List(ctx, listed)
	if err != nil {
		return err
	}
	for _, l := range letters {
		if err := d.replay(ctx, l.ID, handler, out); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d replayed\n", len(letters))
	return nil
}

func (d *DeadLetters) replay(ctx context.Context, id uuid.UUID, handler eventbus.Handler, out io.Writer) error {
	err := d.Replay(ctx, id, func(ctx context.Context, l Letter) error {
		event, env, lane, _ := eventbus.ParseSubject(l.Subject)
		return handler(ctx, []eventbus.Delivery{{
			Event: event, Env: env, Lane: lane, Subject: l.Subject, Data: l.Data, Attempt: l.Attempts + 1, Time: l.Time,
			Stream: l.Stream, Sequence: l.Sequence, ID: l.ID.String(),
		}})
	})
	if err != nil {
		return fmt.Errorf("replay %s: %w", id, err)
	}
	fmt.Fprintf(out, "%s replayed\n", id)
	return nil
}
