package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// declared asks a gateway which columns a rotation goes through, as "table.field".
func declared(g *gateway) []string {
	var columns []string
	for _, v := range g.keys().Sealed {
		columns = append(columns, v.Table+"."+v.Field)
	}
	return columns
}

// Whatever column holds something sealed after the gateway has been used is one that a rotation goes through.
func TestEverySealedColumnIsDeclared(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.NotFoundHandler())
	defer app.Close()
	g := newGateway(t, map[string]string{"GATEHOUSE_RETURN_URLS": app.URL})
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	g.call(http.MethodPost, "/v1/identities/acme/register", `{"new_key":true}`)
	connectInEveryWay(t, g, df)
	useEverything(t, g, df)
	var link struct{ ID, URL string }
	g.call(http.MethodPost, "/v1/connect-links", `{"return_url":"`+app.URL+`/back"}`).json(t, &link)
	walk(t, link.URL, "allow") // pending: the app does not complete it
	g.call(http.MethodPost, "/v1/connect-links", `{}`).json(t, &link)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := browser{t, &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: probe.Transport}}
	b.press(b.open(link.URL), nil) // on the way, with a state
	g.call(http.MethodPost, "/v1/endpoints", `{"url":"https://bms.example.com/","subjects":[">"],"enabled":false}`).json(t, &link)
	g.call(http.MethodPost, "/v1/endpoints/"+link.ID+"/rotate-secret", "")
	columns := declared(g)
	g.stop()
	var found []string
	g.withData(func(db *sqldb.DB, keyset string) { found = sealedIn(t, db, keyset) })
	for _, column := range found {
		if !slices.Contains(columns, column) {
			t.Errorf("%s holds sealed values and is not among the SealedColumns of its package: a rotation would leave it behind", column)
		}
	}
	for _, column := range []string{"vault_secrets.sealed", "connections.access_token", "connect_links.refresh_token", "oauth_states.verifier", "identities.signing_key", "identities.next_key", "endpoints.secret", "endpoints.old_secret"} {
		if !slices.Contains(found, column) {
			t.Errorf("%s was not found: this test proves little", column)
		}
	}
}

// sealedIn looks through all columns of an SQLite database for what begins with the id of one of its keys.
func sealedIn(t *testing.T, db *sqldb.DB, keyset string) []string {
	t.Helper()
	set, err := vault.ReadKeyset(keyset)
	if err != nil {
		t.Fatal(err)
	}
	var columns []struct {
		Table string `db:"tbl"`
		Name  string
	}
	const query = `SELECT m.name AS tbl, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' AND p.type = 'BLOB'`
	if err := db.Select(t.Context(), &columns, query); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, c := range columns {
		for _, id := range set.Keys() {
			var n int
			if err := db.Get(t.Context(), &n, fmt.Sprintf(`SELECT COUNT(*) FROM %s WHERE substr(%s, 1, 5) = ?`, c.Table, c.Name), vault.Prefix(id)); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				found = append(found, c.Table+"."+c.Name)
			}
		}
	}
	return found
}

// What the gateway was not brought to seal in the test above is found in the code: every vault.Place that is
// made there names a declared column.
func TestEveryPlaceInTheCodeIsDeclared(t *testing.T) {
	columns := declared(newGateway(t, nil).start())
	named := 0
	for _, p := range packages(t) {
		if name, mine := ours(p.ImportPath); !mine || name == "internal/vault" || name == "keys" {
			continue
		}
		for _, place := range placesOf(t, p) {
			if named++; !slices.Contains(columns, place) {
				t.Errorf("%s: %s is not among the SealedColumns", p.name(), place)
			}
		}
	}
	if named < 6 {
		t.Errorf("only %d places were found", named)
	}
}

// placesOf reads "table.field" of each vault.Place literal of a package. Where the field is a parameter of the
// function around it, it is what the calls of that function say.
func placesOf(t *testing.T, p goPackage) []string {
	t.Helper()
	var places []string
	type maker struct {
		table string
		param int
	}
	makers := map[string]maker{}
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		for _, d := range file.Decls {
			ast.Inspect(d, func(n ast.Node) bool {
				table, field := placeLiteral(n)
				if table == "" {
					return true
				}
				if text, ok := literal(field); ok {
					places = append(places, table+"."+text)
				} else if f, ok := d.(*ast.FuncDecl); ok && parameter(f, field) >= 0 {
					makers[f.Name.Name] = maker{table, parameter(f, field)}
				} else {
					t.Errorf("%s: which field of %s is meant cannot be read from the code", name, table)
				}
				return true
			})
		}
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, _ := call.Fun.(*ast.Ident)
			if name == nil || makers[name.Name].table == "" {
				return true
			}
			m := makers[name.Name]
			if text, ok := literal(call.Args[m.param]); ok {
				places = append(places, m.table+"."+text)
			} else {
				t.Errorf("%s: which field of %s is meant cannot be read from the code", p.name(), m.table)
			}
			return true
		})
	}
	return places
}

// placeLiteral returns the table and the field of a vault.Place{…}, "" for anything else.
func placeLiteral(n ast.Node) (table string, field ast.Expr) {
	lit, ok := n.(*ast.CompositeLit)
	if !ok {
		return "", nil
	}
	if kind, ok := lit.Type.(*ast.SelectorExpr); !ok || kind.Sel.Name != "Place" {
		return "", nil
	}
	for _, e := range lit.Elts {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch key, _ := pair.Key.(*ast.Ident); {
		case key == nil:
		case key.Name == "Table":
			table, _ = literal(pair.Value)
		case key.Name == "Field":
			field = pair.Value
		}
	}
	return table, field
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// parameter is the place of an identifier among a function's parameters, -1 where it is none.
func parameter(f *ast.FuncDecl, e ast.Expr) int {
	id, ok := e.(*ast.Ident)
	if !ok {
		return -1
	}
	i := 0
	for _, group := range f.Type.Params.List {
		for _, name := range group.Names {
			if name.Name == id.Name {
				return i
			}
			i++
		}
	}
	return -1
}
