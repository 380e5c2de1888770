package door

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// codec is the JSON of the API: lowerCamel names, no empty fields but a page's list, nothing unknown and nothing after
// the document.
type codec struct{ runtime.JSONPb }

func newCodec() *codec {
	return &codec{runtime.JSONPb{UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false}}}
}

// Marshal writes an answer. The list of a page is there also when it is empty: protojson knows all empty fields or none.
func (c *codec) Marshal(v any) ([]byte, error) {
	body, err := c.JSONPb.Marshal(v)
	if m, ok := v.(proto.Message); ok && err == nil {
		if list := emptyList(m.ProtoReflect()); list != "" {
			body = withEmptyList(body, list)
		}
	}
	return body, err
}

// emptyList is the JSON name of a page's list when it is empty: of what has a next_page_token, the repeated field.
func emptyList(m protoreflect.Message) string {
	fields := m.Descriptor().Fields()
	if fields.ByName("next_page_token") == nil {
		return ""
	}
	for i := range fields.Len() {
		if f := fields.Get(i); f.IsList() && !m.Has(f) {
			return f.JSONName()
		}
	}
	return ""
}

// withEmptyList puts an empty list before the fields of a JSON object.
func withEmptyList(object []byte, name string) []byte {
	fields := bytes.TrimLeft(object, "{ \n")
	with := append(make([]byte, 0, len(object)+len(name)+8), `{"`+name+`":[]`...)
	if len(fields) > 0 && fields[0] != '}' {
		with = append(with, ',')
	}
	return append(with, fields...)
}

// NewDecoder reads the whole body, which the door has bounded.
func (c *codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		body, err := io.ReadAll(r)
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return misread{reason: "TOO_LARGE", detail: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
		}
		if err != nil {
			return misread{reason: "INCOMPLETE", detail: "the body ended early or came too slowly"}
		}
		defer clear(body)
		if len(body) == 0 {
			return io.EOF // as an empty message
		}
		if err := c.unmarshal(body, v); err != nil {
			return misreadJSON(err)
		}
		return nil
	})
}

// unmarshal reads a request, or the field of it that is the body.
func (c *codec) unmarshal(body []byte, v any) error {
	if m, ok := v.(proto.Message); ok {
		return c.UnmarshalOptions.Unmarshal(body, m)
	}
	return c.Unmarshal(body, v)
}

// misread is a field that could not be read. The gateway's generated code keeps only the text of a decoder's error, so
// the text holds all three parts and misreadOf takes them apart again.
type misread struct{ field, reason, detail string }

const misreadMark = "\x00misread\x00"

// Error is for misreadOf.
func (m misread) Error() string { return misreadMark + m.field + "\x00" + m.reason + "\x00" + m.detail }

func misreadOf(text string) (m misread, ok bool) {
	_, text, ok = strings.Cut(text, misreadMark)
	parts := strings.SplitN(text, "\x00", 3)
	if !ok || len(parts) != 3 {
		return m, false
	}
	return misread{parts[0], parts[1], parts[2]}, true
}

// What protojson says of a bad document. Values are left out of what we pass on: they may be a text or a number.
var (
	jsonPlace    = regexp.MustCompile(`\(line (\d+):(\d+)\)`)
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
	badValue     = regexp.MustCompile(`invalid value for (\w+) (?:field|type)?:? ?(\w*)`)
	duplicate    = regexp.MustCompile(`duplicate field "([^"]*)"`)
)

func misreadJSON(err error) misread {
	text, place := err.Error(), ""
	if at := jsonPlace.FindStringSubmatch(text); at != nil {
		place = fmt.Sprintf(" (line %s, column %s)", at[1], at[2])
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		return misread{clip(m[1]), "UNKNOWN", "there is no such field" + place}
	}
	if m := duplicate.FindStringSubmatch(text); m != nil {
		return misread{clip(m[1]), "DUPLICATE", "this field was given before" + place}
	}
	if m := badValue.FindStringSubmatch(text); m != nil {
		return misread{clip(m[2]), "TYPE", "must be of type " + m[1] + place}
	}
	return misread{"", "SYNTAX", "not a JSON document of this request" + place}
}

// clip keeps a caller's own word short.
func clip(s string) string { return s[:min(len(s), 64)] }

// queryParser refuses parameters that the request does not have, where the gateway's would pass over them: a filter
// with a typing error must not list everything.
type queryParser struct{ runtime.DefaultQueryParser }

// Parse reads one parameter at a time, to be able to name the one that is wrong.
func (p *queryParser) Parse(m proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	fields := m.ProtoReflect().Descriptor().Fields()
	for name, value := range values {
		if fields.ByJSONName(name) == nil && fields.ByTextName(name) == nil {
			return misread{clip(name), "UNKNOWN", "there is no such parameter"}
		}
		if err := p.DefaultQueryParser.Parse(m, url.Values{name: value}, filter); err != nil {
			return misread{clip(name), "TYPE", "the value cannot be read, or was given twice"}
		}
	}
	return nil
}
