package registry

import (
	"bytes"
	"fmt"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
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
		Telemarketers []struct{ ID, Name, Role, Status string }
		Entities      []struct {
			ID, Name, Status string
			Chain            []string
			ChainStatus      string `yaml:"chain_status"`
		}
		Headers   []struct{ Header, Entity, Kind, Status string }
		CTAs      []struct{ Entity, Kind, Value, Status string } `yaml:"ctas"`
		Templates []struct {
			ID, Entity, Category, Status, Body string
			Headers, Variables, Overrides      []string
			MaxLength                          int  `yaml:"max_length"`
			Goods                              *int `yaml:"goods"`
		}
	} `yaml:"registry"`
}

// ParseFile reads a registry file. It fails on YAML it cannot read, without a tenant, and on rows from which no
// complete snapshot can be made, naming every one.
func ParseFile(raw []byte) (File, error) {
	var y fileYAML
	if err := yaml.NewDecoder(bytes.NewReader(raw)).Decode(&y); err != nil {
		return File{}, fmt.Errorf("registry file: %w", err)
	}
	if y.Tenant.ID == uuid.Nil {
		return File{}, fmt.Errorf("registry file: tenant.id is missing")
	}
	f := File{Tenant: y.Tenant.ID, Rows: y.rows()}
	_, err := NewSnapshot(f.Rows)
	return f, err
}

func (y *fileYAML) rows() Rows {
	var r Rows
	for _, t := range y.Registry.Telemarketers {
		r.Telemarketers = append(r.Telemarketers, TelemarketerRow(t))
	}
	for _, e := range y.Registry.Entities {
		r.Entities = append(r.Entities, EntityRow{e.ID, e.Name, e.Status, e.Chain, e.ChainStatus})
	}
	for _, h := range y.Registry.Headers {
		r.Headers = append(r.Headers, HeaderRow(h))
	}
	for _, c := range y.Registry.CTAs {
		r.CTAs = append(r.CTAs, CTARow{c.Entity, template.CTAKind(c.Kind), c.Value, c.Status})
	}
	for _, t := range y.Registry.Templates {
		r.Templates = append(r.Templates, TemplateRow{ID: t.ID, Entity: t.Entity, Headers: t.Headers, Category: t.Category,
			Status: t.Status, Body: t.Body, Variables: t.Variables, Overrides: t.Overrides, MaxLength: t.MaxLength, Goods: t.Goods})
	}
	return r
}

// Objects names every object of the rows, as "template/1107160000000000011".
func (r *Rows) Objects() []string {
	var names []string
	for _, t := range r.Telemarketers {
		names = append(names, "telemarketer/"+t.ID)
	}
	for _, e := range r.Entities {
		names = append(names, "entity/"+e.ID)
	}
	for _, h := range r.Headers {
		names = append(names, "header/"+h.Header)
	}
	for _, c := range r.CTAs {
		names = append(names, "cta/"+c.Entity+"/"+string(c.Kind))
	}
	for _, t := range r.Templates {
		names = append(names, "template/"+t.ID)
	}
	return names
}
