package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// WriteExport writes a registry as NDJSON, a RegistryObject a line.
func WriteExport(w io.Writer, objects []registry.Object) error {
	out := bufio.NewWriter(w)
	for i := range objects {
		line, err := protojson.Marshal(EncodeObject(&objects[i]))
		if err != nil {
			return err
		}
		out.Write(line)     //nolint:errcheck // a bufio.Writer keeps its error for Flush
		out.WriteByte('\n') //nolint:errcheck // as above
	}
	return out.Flush()
}

// ReadExport reads what WriteExport wrote, or the answer of GET /v1/registry-export: the same objects, each in an envelope
// {"result":{"object":…}}. A stream that ended with an error fails.
func ReadExport(r io.Reader) ([]registry.Object, error) {
	var all []registry.Object
	d := json.NewDecoder(r)
	for number := 1; ; number++ {
		var envelope map[string]json.RawMessage
		if err := d.Decode(&envelope); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("registry export, document %d: %w", number, err)
		}
		o, err := readObject(envelope)
		if err != nil {
			return nil, fmt.Errorf("registry export, document %d: %w", number, err)
		}
		all = append(all, o)
	}
}

func readObject(document map[string]json.RawMessage) (registry.Object, error) {
	if raw, failed := document["error"]; failed {
		return registry.Object{}, fmt.Errorf("the export is not complete: %s", raw)
	}
	for _, cover := range []string{"result", "object"} {
		if raw, there := document[cover]; there {
			document = nil
			if err := json.Unmarshal(raw, &document); err != nil {
				return registry.Object{}, err
			}
		}
	}
	raw, err := json.Marshal(document)
	if err != nil {
		return registry.Object{}, err
	}
	var in compliancev1.RegistryObject
	if err := protojson.Unmarshal(raw, &in); err != nil {
		return registry.Object{}, err
	}
	return DecodeObject(in.GetKind(), &in)
}
