package record

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// masked stands where a secret was.
const masked = "***"

// change is one thing that was changed, as canonical JSON; nil before a creation and after a removal.
type change struct {
	resource      string
	before, after json.RawMessage
}

// Change notes in the record of ctx's call that the settings of resource, for example `api_key/<kid>`, go from before
// to after: structs, maps or protobuf messages; nil where there is nothing (creation, removal). Values whose name
// speaks of a secret are masked. A second change of the same call is noted beside the first. Outside of a recorded call
// it does nothing: Append then refuses.
func Change(ctx context.Context, resource string, before, after any) {
	c := From(ctx)
	if c == nil {
		return
	}
	if c.Resource == "" {
		c.Resource = resource
	}
	c.changes = append(c.changes, change{resource, canonical(before), canonical(after)})
}

// settings are the call's changes as they stand in the record: those of one resource as they are, of several by
// resource.
func (c *Call) settings() (before, after string) {
	if len(c.changes) == 1 {
		return string(c.changes[0].before), string(c.changes[0].after)
	}
	was, is := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, ch := range c.changes {
		if _, again := was[ch.resource]; ch.before != nil && !again {
			was[ch.resource] = ch.before
		}
		if ch.after != nil {
			is[ch.resource] = ch.after
		}
	}
	return encodeMap(was), encodeMap(is)
}

func encodeMap(m map[string]json.RawMessage) string {
	if len(m) == 0 {
		return ""
	}
	text, _ := json.Marshal(m) // of valid documents
	return string(text)
}

// canonical is v as JSON with sorted names, without blanks and without secrets; nil for nothing. What has no JSON form
// is noted as such: a record must not fail for it, and must not hold what it does not understand.
func canonical(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	text, err := encode(v)
	if err != nil {
		return json.RawMessage(`"unencodable"`)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return json.RawMessage(`"unencodable"`)
	}
	if tree == nil {
		return nil
	}
	out, _ := json.Marshal(mask(tree)) // maps are sorted; nothing in a decoded tree can fail
	return out
}

func encode(v any) ([]byte, error) {
	if m, ok := v.(proto.Message); ok {
		return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	}
	return json.Marshal(v)
}

// mask replaces what stands under a secret's name, in place.
func mask(tree any) any {
	switch t := tree.(type) {
	case map[string]any:
		for name, value := range t {
			if secretName(name) && value != nil && value != "" {
				t[name] = masked
				continue
			}
			t[name] = mask(value)
		}
	case []any:
		for i, value := range t {
			t[i] = mask(value)
		}
	}
	return tree
}

// secretWords are parts of names whose values never stand in a record, not even as a hash that could be tried offline.
var secretWords = []string{"secret", "password", "token", "hash", "hmac", "seed", "pepper", "recovery", "private"}

func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return name == "code" || name == "mac"
}
