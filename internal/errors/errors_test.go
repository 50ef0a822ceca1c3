package errors_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
)

func TestForHidesWhatIsNotForUsers(t *testing.T) {
	t.Parallel()
	e := errors.For(fmt.Errorf("open /secret/path: %w", io.ErrUnexpectedEOF), "id-7")
	if e.Code != errors.InternalError || strings.Contains(e.Message, "secret") || !strings.Contains(e.Message, "id-7") {
		t.Errorf("got %s %q", e.Code, e.Message)
	}
	if !errors.Is(e, io.ErrUnexpectedEOF) || !strings.Contains(e.Error(), "/secret/path") {
		t.Errorf("the log has lost the cause: %v", e)
	}
	known := errors.Because(io.EOF, errors.Conflict, "It is taken.").At("name")
	if got := errors.For(fmt.Errorf("wrapped: %w", known), "x"); got != known || got.Target != "name" {
		t.Errorf("got %v", got)
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	if errors.CodeOf(nil) != "" || errors.CodeOf(io.EOF) != errors.InternalError || errors.Has(nil, "") {
		t.Error("nil and foreign errors have the wrong codes")
	}
	if err := error(errors.Newf(errors.ResourceNotFound, "No.")); !errors.Has(fmt.Errorf("x: %w", err), errors.ResourceNotFound) {
		t.Error("the code is lost by wrapping")
	}
}

// Every code that is declared stands in the table, with an exit code of the closed set and a status that is an error's.
func TestTheTableIsClosed(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		code := errors.Code(text)
		if !code.Known() {
			t.Errorf("%s is not in the table", code)
		}
		if e := code.Exit(); e < errors.ExitUsage || e > errors.ExitInternal {
			t.Errorf("%s has the exit code %d", code, e)
		}
		if s := code.HTTPStatus(); s < 400 || http.StatusText(s) == "" {
			t.Errorf("%s has the status %d", code, s)
		}
		return true
	})
	if n < 30 {
		t.Errorf("found %d codes only", n)
	}
	if unknown := errors.Code("Nonsense"); unknown.Known() || unknown.Exit() != errors.ExitInternal || unknown.HTTPStatus() != 500 {
		t.Error("an unknown code is not internal")
	}
}
