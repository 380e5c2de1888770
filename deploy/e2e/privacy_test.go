//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// TestNothingIsStoredInClear sends 1,000 messages that share a mark in their texts and eight digits in their numbers,
// scrubs such messages, and looks for both in everything that is written: NATS's directory, PostgreSQL's, every log but the operator's own.
func TestNothingIsStoredInClear(t *testing.T) {
	mark := randomWord(12)
	digits := fmt.Sprintf("98%06d", rand.IntN(1_000_000))
	client := messages(t, demoTenant)
	var ids []string
	for batch := range 10 {
		request := &ingestv1.BatchSendMessagesRequest{}
		for i := range 100 {
			request.Messages = append(request.Messages, &ingestv1.OutgoingMessage{
				To: fmt.Sprintf("+91%s%02d", digits, i), EntityId: demoEntity, Header: demoHeader, TemplateId: anyTemplate,
				Text: fmt.Sprintf("%s number %d of batch %d - ABCBNK", mark, i, batch),
			})
		}
		sent, err := client.BatchSendMessages(t.Context(), request)
		if err != nil {
			t.Fatalf("BatchSendMessages: %v", err)
		}
		for _, one := range sent.GetMessages() {
			ids = append(ids, one.GetMessageId())
		}
	}
	for _, id := range ids {
		awaitState(t, client, id, typev1.MessageState_DELIVERED)
	}
	scrubMarked(t, mark, digits)
	checkpoint(t)
	for _, folder := range []string{platform.Env("ONLINESMS_NATS_DATA"), platform.Env("ONLINESMS_POSTGRES_DATA"), filepath.Join(platform.Dir(), "logs")} {
		if read := grep(t, folder, forms(mark, digits)); read == 0 {
			t.Errorf("%s holds nothing: the search proves nothing", folder)
		}
	}
}

// scrubMarked tries messages with the mark, half of which no template matches.
func scrubMarked(t *testing.T, mark, digits string) {
	t.Helper()
	request := &compliancev1.BatchScrubRequest{}
	for i := range 100 {
		request.Messages = append(request.Messages, &compliancev1.ScrubMessage{To: fmt.Sprintf("+91%s%02d", digits, i), EntityId: demoEntity,
			Header: demoHeader, TemplateId: []string{anyTemplate, "1107160000000000011"}[i%2], Text: mark + " - ABCBNK"})
	}
	got, err := scrubs(t, demoTenant).BatchScrub(t.Context(), request)
	if err != nil || got.GetResults()[0].GetOutcome() != "CLEARED" || got.GetResults()[1].GetOutcome() != "REFUSED" {
		t.Fatalf("BatchScrub: %v", err)
	}
}

// randomWord has capital consonants only: nothing else writes such a word.
func randomWord(length int) string {
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	word := make([]byte, length)
	for i := range word {
		word[i] = letters[rand.IntN(len(letters))]
	}
	return string(word)
}

// forms are the ways in which the words may stand in a file.
func forms(words ...string) map[string][]byte {
	all := map[string][]byte{}
	for _, word := range words {
		little, big := []byte{}, []byte{}
		for _, unit := range utf16.Encode([]rune(word)) {
			little = append(little, byte(unit), byte(unit>>8))
			big = append(big, byte(unit>>8), byte(unit))
		}
		all[word+" in UTF-8"] = []byte(word)
		// One byte short at the ends, for what follows or goes ahead may not be UTF-16.
		all[word+" in UTF-16LE"] = little[:len(little)-1]
		all[word+" in UTF-16BE"] = big[1:]
		for name, text := range map[string][]byte{"UTF-8": []byte(word), "UTF-16BE": big[1:]} {
			all[word+" in hex of "+name] = []byte(hex.EncodeToString(text))
			all[word+" in capital hex of "+name] = []byte(strings.ToUpper(hex.EncodeToString(text)))
		}
	}
	return all
}

// checkpoint makes PostgreSQL write its pages, so that the tables themselves are searched and not only the log.
func checkpoint(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), platform.Env("ONLINESMS_POSTGRES_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // it was answered
	if _, err := conn.Exec(t.Context(), "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
}

// grep reads every file below folder and reports each form that stands in it; it answers the bytes read.
func grep(t *testing.T, folder string, forms map[string][]byte) (read int64) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Base(path) == "smscsim.log" {
			return ignoreVanished(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return ignoreVanished(err)
		}
		read += int64(len(data))
		for name, form := range forms {
			if at := bytes.Index(data, form); at >= 0 {
				t.Errorf("%s holds %s at byte %d", path, name, at)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// ignoreVanished passes over files that a running server deleted meanwhile.
func ignoreVanished(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
