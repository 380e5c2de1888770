package caller

// What door and handlers agree on for browsers. The prefix of the cookies binds them to this host, to https and to the
// path / (RFC 6265bis, 4.1.3.2).
const (
	SessionCookie = "__Host-onlinesms_session" // holds the token of a session
	BindingCookie = "__Host-onlinesms_login"   // holds what ties a federated login to the browser

	// SetCookieKey is the metadata of an answer that the door writes as Set-Cookie.
	SetCookieKey = "set-cookie"
	// BindingKey is the metadata under which the door hands on what stands in BindingCookie.
	BindingKey = "x-onlinesms-binding"
)
