package smsc

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// Limits of the HTTP interface.
const (
	maxBody      = 1 << 20 // octets
	defaultLimit = 100     // entries of GET /messages
)

// Handler serves the control interface, JSON throughout; an error is
// {"error": "…"} with status 400.
//
//	GET  /healthz                     200
//	GET  /stats                       Stats
//	GET  /knobs                       Knobs
//	PUT  /knobs                       some of Knobs: those named change; answers Knobs
//	GET  /messages?to=…&limit=…       [Submitted], newest first; to is a suffix
//	POST /mo                          Inbound; answers {"segments": n}
//	POST /reset                       forgets counts, duplicates, journal
//	POST /disconnect?system_id=…      closes connections; answers {"disconnected": n}
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Stats()) })
	mux.HandleFunc("GET /knobs", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Knobs()) })
	mux.HandleFunc("PUT /knobs", s.putKnobs)
	mux.HandleFunc("GET /messages", s.getMessages)
	mux.HandleFunc("POST /mo", s.postInbound)
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		writeJSON(w, http.StatusOK, s.Stats())
	})
	mux.HandleFunc("POST /disconnect", func(w http.ResponseWriter, r *http.Request) {
		n := s.Disconnect(r.URL.Query().Get("system_id"))
		writeJSON(w, http.StatusOK, map[string]int{"disconnected": n})
	})
	return mux
}

func (s *Server) putKnobs(w http.ResponseWriter, r *http.Request) {
	object, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, err)
		return
	}
	knobs, err := s.Knobs().Merge(object)
	if err == nil {
		err = s.SetKnobs(knobs)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, knobs)
}

func (s *Server) getMessages(w http.ResponseWriter, r *http.Request) {
	limit := defaultLimit
	if asked := r.URL.Query().Get("limit"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil {
			writeError(w, err)
			return
		}
		limit = n
	}
	writeJSON(w, http.StatusOK, s.Messages(r.URL.Query().Get("to"), limit))
}

func (s *Server) postInbound(w http.ResponseWriter, r *http.Request) {
	var m Inbound
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&m)
	var segments int
	if err == nil {
		segments, err = s.Inject(m)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]int{"segments": segments})
}

func writeError(w http.ResponseWriter, err error) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone if it fails
}
