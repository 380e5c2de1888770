package door

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var reasonForm = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)

// The catalogue is in order and complete in itself, and has every reason of grpc.
func TestCatalogue(t *testing.T) {
	if !slices.IsSortedFunc(catalogue.Reasons, func(a, b Reason) int { return strings.Compare(a.Reason, b.Reason) }) {
		t.Error("the catalogue is not in order")
	}
	seen := map[string]bool{}
	for _, r := range catalogue.Reasons {
		call := r.Scope == "call"
		if !reasonForm.MatchString(r.Reason) || seen[r.Reason] || r.Title == "" || r.Remedy == "" || r.Since < 1 || r.Since > catalogue.Version {
			t.Errorf("%+v is incomplete or there twice", r)
		}
		if !slices.Contains([]string{"call", "field", "message", "inner"}, r.Scope) || call && (r.Status < 400 || r.Code == "") {
			t.Errorf("%+v: scope, status or code", r)
		}
		seen[r.Reason] = true
	}
	for code := range statuses {
		if reason := frameworkReason(code); !seen[reason] {
			t.Errorf("%s is not in the catalogue", reason)
		}
	}
}

func TestReasonsPageLeavesInnerOnesOut(t *testing.T) {
	w := newWorld(t)
	_, content := w.do(t, true, "GET", "/v1/reasons", "")
	var page reasons
	if err := json.Unmarshal(content, &page); err != nil || page.Version != catalogue.Version || len(page.Reasons) < 20 {
		t.Fatalf("%v %.200s", err, content)
	}
	for _, r := range page.Reasons {
		if r.Scope == "inner" {
			t.Errorf("%s is served", r.Reason)
		}
	}
	_, docs := w.do(t, true, "GET", "/docs", "")
	for _, r := range page.Reasons {
		if !strings.Contains(string(docs), "<code>"+r.Reason+"</code>") {
			t.Errorf("/docs lacks %s", r.Reason)
		}
	}
}

// Every reason that stands in a source of any module is in the catalogue. Reasons of internal errors are withheld from
// callers (rpc.Status) and may be missing.
func TestEveryReasonIsInTheCatalogue(t *testing.T) {
	known := map[string]bool{}
	for _, r := range catalogue.Reasons {
		known[r.Reason] = true
	}
	found := 0
	root := filepath.Join("..", "..", "..")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test"+string(filepath.Separator)) {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		dictionary := slices.Contains([]string{"reason.go", "match.go", "codes.go"}, filepath.Base(path))
		for reason, at := range reasonsIn(file, dictionary) {
			found++
			if !known[reason] {
				t.Errorf("%s: %s is not in reasons.yaml", set.Position(at), reason)
			}
		}
		return nil
	})
	if err != nil || found < 40 {
		t.Errorf("%d reasons found, %v", found, err)
	}
}

// reasonsIn finds the reasons in errs.E(kind, "…"), in fields named Reason, and in constants whose name begins with it
// or that stand in a dictionary, a file of reasons.
func reasonsIn(file *ast.File, dictionary bool) map[string]token.Pos {
	found := map[string]token.Pos{}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && reasonForm.MatchString(text) {
				found[text] = lit.Pos()
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if len(n.Args) == 4 && selector(n.Fun) == "E" && selector(n.Args[0]) != "Internal" {
				add(n.Args[1])
			}
		case *ast.CompositeLit:
			for _, element := range n.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok && name(pair.Key) == "Reason" && !isInternal(n) {
					add(pair.Value)
				}
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				if (dictionary || strings.HasPrefix(strings.ToLower(id.Name), "reason")) && i < len(n.Values) {
					add(n.Values[i])
				}
			}
		}
		return true
	})
	return found
}

// selector is the last word of a.b, or of b alone.
func selector(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return name(e)
}

func name(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

func isInternal(lit *ast.CompositeLit) bool {
	return slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
		pair, ok := e.(*ast.KeyValueExpr)
		return ok && name(pair.Key) == "Kind" && selector(pair.Value) == "Internal"
	})
}
