package door

import (
	"net/http"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
)

// browserHeader is what a browser's script must send with changes it makes by cookie: no form can, and no other site's
// script may without our consent, which we give to nobody.
const browserHeader = "X-Requested-By"

// crossOrigin refuses what browsers say comes from another site (Sec-Fetch-Site, Origin). It has no exceptions.
var crossOrigin = http.NewCrossOriginProtection()

// browsers takes a session from its cookie where no Authorization is sent, and refuses what another site has had a browser
// send: changes by cookie, and logins, which would make the victim work in the attacker's account. Calls with
// Authorization pass: no browser adds that by itself.
func (g *guard) browsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header.Values("Authorization")) > 0 {
			next.ServeHTTP(w, r)
			return
		}
		cookie, err := r.Cookie(caller.SessionCookie)
		byCookie := err == nil && cookie.Value != ""
		if crossOrigin.Check(r) != nil || byCookie && changes(r.Method) && r.Header.Get(browserHeader) == "" {
			visitOf(r.Context()).access = g.offer.rules[g.offer.methodOf(r)]
			newProblem(http.StatusForbidden, "CROSS_SITE_REQUEST", "this request was not made by our own pages, or lacks the header "+browserHeader).write(w, r)
			return
		}
		if byCookie {
			r.Header.Set("Authorization", "Bearer "+cookie.Value) // of this request alone
		}
		next.ServeHTTP(w, r)
	})
}

func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// bindingOf is what the browser holds of a federated login; empty when nothing.
func bindingOf(r *http.Request) string {
	cookie, err := r.Cookie(caller.BindingCookie)
	if err != nil {
		return ""
	}
	return cookie.Value
}
