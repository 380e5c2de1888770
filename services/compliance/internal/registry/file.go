package registry

import (
	"bytes"
	"fmt"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"
)

// File is a registry file: a tenant and its registry as YAML. Other sections, such as keys, belong to other services.
type File struct {
	Tenant uuid.UUID
	Rows   Rows
}

// fileYAML is the file's shape.
type fileYAML struct {
	Tenant struct {
		ID uuid.UUID `yaml:"id"`
	} `yaml:"tenant"`
	Registry struct {
		Telemarketers []fileObject `yaml:"telemarketers,omitempty"`
		Entities      []fileObject `yaml:"entities,omitempty"`
		Headers       []fileObject `yaml:"headers,omitempty"`
		CTAs          []fileObject `yaml:"ctas,omitempty"`
		Templates     []fileObject `yaml:"templates,omitempty"`
	} `yaml:"registry"`
}

// ParseFile reads a registry file. It fails on YAML it cannot read, without a tenant, and on objects that cannot be
// registered, naming every one.
func ParseFile(raw []byte) (File, error) {
	var y fileYAML
	if err := yaml.NewDecoder(bytes.NewReader(raw)).Decode(&y); err != nil {
		return File{}, fmt.Errorf("registry file: %w", err)
	}
	if y.Tenant.ID == uuid.Nil {
		return File{}, fmt.Errorf("registry file: tenant.id is missing")
	}
	f := File{Tenant: y.Tenant.ID}
	for kind, list := range y.lists() {
		for i := range *list {
			f.Rows.Objects = append(f.Rows.Objects, (*list)[i].object(kind))
		}
	}
	_, err := NewSnapshot(f.Rows)
	return f, err
}

// Marshal writes the file; ParseFile reads it back as it was.
func (f *File) Marshal() ([]byte, error) {
	var y fileYAML
	y.Tenant.ID = f.Tenant
	lists := map[Kind]*[]fileObject{}
	for kind, list := range y.lists() {
		lists[kind] = list
	}
	for i := range f.Rows.Objects {
		o := &f.Rows.Objects[i]
		list := lists[o.Kind]
		if list == nil {
			return nil, fmt.Errorf("registry file: unknown kind %q", o.Kind)
		}
		*list = append(*list, fileObjectOf(o))
	}
	return yaml.Marshal(&y)
}
