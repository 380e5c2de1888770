package service

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// LoadConfig reads T from the environment by its caarlos0/env tags, checks it by its Validate method where it has one,
// and logs every setting, secrets only as set or unset. A setting NAME that is absent is read from the file that
// NAME_FILE names, without its last line end.
func LoadConfig[T any]() (T, error) {
	var cfg T
	settings, err := load(&cfg, env.ToMap(os.Environ()))
	if err != nil {
		return cfg, err
	}
	slog.Info("settings", slog.Any("settings", settings))
	return cfg, nil
}

// load fills cfg from environ and answers the settings as they may be shown.
func load(cfg any, environ map[string]string) ([]string, error) {
	params, err := env.GetFieldParams(cfg)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if err := readFiles(params, environ); err != nil {
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
	return show(params, environ), nil
}

func readFiles(params []env.FieldParams, environ map[string]string) error {
	for _, p := range params {
		file := environ[p.Key+"_FILE"]
		if p.Key == "" || file == "" || environ[p.Key] != "" {
			continue
		}
		if slices.ContainsFunc(params, func(o env.FieldParams) bool { return o.Key == p.Key+"_FILE" }) {
			continue // a setting of its own, not the file of this one
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("setting %s_FILE: %w", p.Key, err)
		}
		environ[p.Key] = strings.TrimRight(string(content), "\r\n")
	}
	return nil
}

func show(params []env.FieldParams, environ map[string]string) []string {
	var shown []string
	for _, p := range params {
		if p.Key == "" {
			continue
		}
		value, ok := environ[p.Key]
		if !ok {
			value = p.DefaultValue
		}
		shown = append(shown, p.Key+"="+showValue(p, value))
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
