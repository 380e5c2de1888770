package service

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// LoadConfig reads T from the environment by its caarlos0/env tags, checks it by its Validate method where it has one,
// and logs every setting, secrets only as set or unset. A setting NAME that is absent is read from the file that
// NAME_FILE names, without its last line end; one that is a reference to Vault is read there. A field of type secret.Ref
// keeps the reference instead, so that it can be followed.
func LoadConfig[T any]() (T, error) {
	var cfg T
	var vault secret.Vault
	environ := env.ToMap(os.Environ())
	settings, err := load(&vault, environ)
	if err != nil {
		return cfg, err
	}
	if err := secret.UseVault(vault); err != nil {
		return cfg, fmt.Errorf("settings: %w", err)
	}
	if vault.Addr == "" {
		settings = nil
	}
	own, err := load(&cfg, environ)
	if err != nil {
		return cfg, err
	}
	slog.Info("settings", slog.Any("settings", append(own, settings...)))
	return cfg, nil
}

// load fills cfg from environ and answers the settings as they may be shown.
func load(cfg any, environ map[string]string) ([]string, error) {
	params, err := env.GetFieldParams(cfg)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	refs := references(reflect.TypeOf(cfg).Elem())
	if err := resolve(params, refs, environ); err != nil {
		return nil, err
	}
	if err := env.ParseWithOptions(cfg, env.Options{Environment: environ}); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if v, ok := cfg.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, fmt.Errorf("settings: %w", err)
		}
	}
	return show(params, refs, environ), nil
}

// references names the settings of t that are secret.Ref.
func references(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for field := range t.Fields() {
		switch {
		case field.Type == reflect.TypeFor[secret.Ref]():
			name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
			names[name] = true
		case field.Type.Kind() == reflect.Struct:
			maps.Copy(names, references(field.Type))
		}
	}
	return names
}

// resolve puts into environ what NAME_FILE and references to Vault stand for.
func resolve(params []env.FieldParams, refs map[string]bool, environ map[string]string) error {
	for _, p := range params {
		file := environ[p.Key+"_FILE"]
		own := slices.ContainsFunc(params, func(o env.FieldParams) bool { return o.Key == p.Key+"_FILE" }) // a setting of its own
		fromFile := p.Key != "" && file != "" && environ[p.Key] == "" && !own
		switch {
		case refs[p.Key] && fromFile:
			environ[p.Key] = string(secret.File(file))
		case refs[p.Key]:
		case fromFile:
			content, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("setting %s_FILE: %w", p.Key, err)
			}
			environ[p.Key] = strings.TrimRight(string(content), "\r\n")
		case strings.HasPrefix(environ[p.Key], "vault:"):
			text, err := secret.Read(context.Background(), secret.Ref(environ[p.Key]))
			if err != nil {
				return fmt.Errorf("setting %s: %w", p.Key, err)
			}
			environ[p.Key], refs[p.Key] = string(text), true // not to be shown
		}
	}
	return nil
}

func show(params []env.FieldParams, refs map[string]bool, environ map[string]string) []string {
	var shown []string
	for _, p := range params {
		if p.Key == "" {
			continue
		}
		value, ok := environ[p.Key]
		if !ok {
			value = p.DefaultValue
		}
		if refs[p.Key] {
			value = secret.Ref(value).String()
		} else {
			value = showValue(p, value)
		}
		shown = append(shown, p.Key+"="+value)
	}
	return shown
}

func showValue(p env.FieldParams, value string) string {
	switch {
	case value == "":
		return "unset"
	case isSecret(p):
		return "set"
	case strings.HasSuffix(p.Key, "URL"):
		return showURL(value)
	}
	return value
}

// isSecret goes by the name, so that a new password is hidden without anyone remembering to say so. A name ending in
// _FILE is a path.
func isSecret(p env.FieldParams) bool {
	if p.LoadFile || p.Unset {
		return true
	}
	if strings.HasSuffix(p.Key, "_FILE") {
		return false
	}
	return slices.ContainsFunc([]string{"PASSWORD", "SECRET", "TOKEN", "KEY", "PEPPER", "CREDENTIAL"},
		func(word string) bool { return strings.Contains(p.Key, word) })
}

// showURL shows scheme, host and path: user, password and query may be secret.
func showURL(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return "set"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
