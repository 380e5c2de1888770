package door

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// Whatever the body is, it is a request, or refused with a violation that can be read back; and what was read means the
// same when it is written again.
func FuzzJSONBody(f *testing.F) {
	f.Add([]byte(body))
	f.Add([]byte(`{"to": 9, "variables": [{"value": "x"}], "validityPeriod": "300s"}`))
	f.Add([]byte("{\"\\u0000misread\\u0000\": 1}"))
	f.Add([]byte(`[[[[`))
	c := newCodec()
	f.Fuzz(func(t *testing.T, raw []byte) {
		req := &ingestv1.SendMessageRequest{}
		err := c.NewDecoder(bytes.NewReader(bytes.Clone(raw))).Decode(req)
		if err == nil {
			again, err := protojson.Marshal(req)
			if err != nil || c.NewDecoder(bytes.NewReader(again)).Decode(&ingestv1.SendMessageRequest{}) != nil {
				t.Errorf("%q was read and cannot be written: %v", raw, err)
			}
			return
		}
		if errors.Is(err, io.EOF) && len(raw) == 0 {
			return
		}
		m, ok := misreadOf(err.Error())
		if !ok || m.reason == "" || m.detail == "" || len(m.field) > 64 {
			t.Errorf("%q: %+v, %v", raw, m, err)
		}
	})
}
