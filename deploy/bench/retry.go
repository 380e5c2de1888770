package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// shedPause is how long a sender waits when the door sheds load before it asks again.
const shedPause = 20 * time.Millisecond

// retry repeats a call the door shed (RESOURCE_EXHAUSTED: nothing was accepted). Every other failure is an error: after
// one it would not be known how many messages there are.
func retry(ctx context.Context, call func(context.Context) error) error {
	for {
		err := call(ctx)
		if status.Code(err) != codes.ResourceExhausted {
			return err
		}
		timer := time.NewTimer(shedPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
