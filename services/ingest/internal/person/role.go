package person

import (
	"slices"
	"strings"
)

// Role is what a user is to his tenant.
type Role string

// The roles.
const (
	Owner             Role = "owner"
	Admin             Role = "admin"
	Developer         Role = "developer"
	ComplianceOfficer Role = "compliance_officer"
	Auditor           Role = "auditor"
)

// grants is what each role may do: patterns of scopes, `*` for any resource or any verb; a leading ! takes away. Scopes
// are those that RPCs declare, and content:read, which shows numbers and texts.
var grants = map[Role][]string{
	// Everything, the identity provider and the content of messages included.
	Owner: {"*:*"},
	// Runs the account, but cannot let himself in as somebody else and does not read what is sent.
	Admin: {"*:*", "!identity:write", "!content:read"},
	// Builds: sends, reads what became of it, and keeps keys.
	Developer: {
		"messages:*", "otp:*", "keys:*", "webhooks:*", "links:*", "decisions:read", "templates:read", "registry:read",
		"tenant:read",
	},
	// Answers for what is sent: keeps registry, templates, consents and rules, and reads everything but content.
	ComplianceOfficer: {
		"*:read", "!content:read", "registry:*", "templates:*", "consents:*", "preferences:*", "policy:*", "rules:*",
		"decisions:*", "holds:*", "reports:*", "privacy:*", "incidents:*",
	},
	// Reads everything but content, and changes nothing.
	Auditor: {"*:read", "!content:read"},
}

// Scopes of people alone: what a session may do with itself. No API key holds them.
const (
	ScopeUse    = "session:use"    // every session: say who it is, show the second factor, end
	ScopeEnrol  = "session:enrol"  // set up an authenticator
	ScopeManage = "session:manage" // sessions, password and authenticator there are
)

// PersonalPrefix begins the scopes that no API key can hold.
const PersonalPrefix = "session:"

// Known tells whether r is a role.
func (r Role) Known() bool { return grants[r] != nil }

// NeedsSecondFactor tells whether r can do nothing without an authenticator.
func (r Role) NeedsSecondFactor() bool { return r == Owner || r == Admin }

// Scopes are those of all that r holds, sorted; personal ones are not among them.
func (r Role) Scopes(all []string) []string {
	var held []string
	for _, scope := range all {
		if r.holds(scope) && !strings.HasPrefix(scope, PersonalPrefix) {
			held = append(held, scope)
		}
	}
	slices.Sort(held)
	return slices.Compact(held)
}

func (r Role) holds(scope string) (held bool) {
	for _, pattern := range grants[r] {
		taken := strings.HasPrefix(pattern, "!")
		if matches(strings.TrimPrefix(pattern, "!"), scope) {
			held = !taken
		}
	}
	return held
}

// matches tells whether scope is of pattern: resource and verb, each of which may be `*`.
func matches(pattern, scope string) bool {
	resource, verb, _ := strings.Cut(pattern, ":")
	ofResource, ofVerb, found := strings.Cut(scope, ":")
	return found && (resource == "*" || resource == ofResource) && (verb == "*" || verb == ofVerb)
}

// rights are the scopes of a session at that stage of a user with that role.
func rights(r Role, stage Stage, all []string) []string {
	switch {
	case stage == StagePending:
		return []string{ScopeUse}
	case stage == StagePassword && r.NeedsSecondFactor():
		return []string{ScopeEnrol, ScopeUse}
	}
	held := append(r.Scopes(all), ScopeEnrol, ScopeManage, ScopeUse)
	slices.Sort(held)
	return held
}
