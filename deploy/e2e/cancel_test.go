//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

func scheduled(number string, at time.Time) *ingestv1.SendMessageRequest {
	request := otp(number, "482913")
	request.ScheduleTime = timestamp(at)
	return request
}

func TestAScheduledMessageIsCancelled(t *testing.T) {
	client := messages(t, demoTenant)
	number := nextNumber()
	id := send(t, client, scheduled(number, time.Now().Add(2*time.Second)))
	for range 2 { // at once, decided or not; a repeat is harmless
		got := call(t, http.MethodPost, "/v1/messages/"+id+":cancel", keyOf(t, demoTenant, "test"), "{}")
		if got.status != http.StatusOK || got.header.Get("X-Audit-Event") == "" {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	got := awaitState(t, client, id, typev1.MessageState_CANCELLED)
	if last := got.GetTimeline()[len(got.GetTimeline())-1]; last.GetEvent() != "CANCELLED" {
		t.Errorf("the timeline ends with %s", last.GetEvent())
	}
	// Its time passes: another one, scheduled for later, goes out, and this one does not.
	later := send(t, client, scheduled(nextNumber(), time.Now().Add(3*time.Second)))
	awaitState(t, client, later, typev1.MessageState_DELIVERED)
	if n := len(segmentsTo(t, number)); n != 0 {
		t.Errorf("the operator got %d segments", n)
	}
}

func TestTooLateToCancel(t *testing.T) {
	client := messages(t, demoTenant)
	id := send(t, client, otp(nextNumber(), "482913"))
	awaitState(t, client, id, typev1.MessageState_DELIVERED)
	if _, err := client.CancelMessage(t.Context(), &ingestv1.CancelMessageRequest{MessageId: id}); status.Code(err) != codes.AlreadyExists {
		t.Errorf("cancelling a delivered message: %v", err)
	}
	if _, err := messages(t, otherSender(2).tenant).CancelMessage(t.Context(), &ingestv1.CancelMessageRequest{MessageId: id}); status.Code(err) != codes.NotFound {
		t.Errorf("cancelling another tenant's message: %v", err)
	}
}

func TestScheduledMessagesAreCancelledTogether(t *testing.T) {
	client := messages(t, otherSender(2).tenant)
	s := otherSender(2)
	batch := &ingestv1.BatchSendMessagesRequest{}
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	for i := range 50 {
		batch.Messages = append(batch.Messages, &ingestv1.OutgoingMessage{To: nextNumber(), EntityId: s.entity, Header: s.header,
			TemplateId: s.template, Text: fmt.Sprintf(s.format, "482913"), ScheduleTime: timestamp(at.Add(time.Duration(i) * time.Minute))})
	}
	sent, err := client.BatchSendMessages(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range sent.GetMessages() {
		awaitState(t, client, m.GetMessageId(), typev1.MessageState_HELD)
	}
	got, err := client.CancelScheduled(t.Context(), &ingestv1.CancelScheduledRequest{Header: s.header, StartTime: timestamp(at), EndTime: timestamp(at.Add(time.Hour))})
	if err != nil || got.GetCancelledCount() != 50 || got.GetMore() {
		t.Fatalf("%v %v", got, err)
	}
	for _, m := range sent.GetMessages() {
		awaitState(t, client, m.GetMessageId(), typev1.MessageState_CANCELLED)
	}
}
