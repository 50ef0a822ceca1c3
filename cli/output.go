package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// visible makes text of a script fit to be shown to a person: characters that could move the cursor, hide something or
// turn its direction show as Go writes them (\x1b), newlines and tabs as the caller has them.
func visible(text, newline, tab string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(text, "\r\n", "\n") {
		switch {
		case r == '\n':
			b.WriteString(newline)
		case r == '\t':
			b.WriteString(tab)
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// printJSON writes v as indented JSON.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printTable writes rows under a header.
func (a *app) printTable(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = visible(row[i], " ", " ")
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// printPairs writes names and values, one pair a line, without those that are empty.
func (a *app) printPairs(pairs ...string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], visible(pairs[i+1], " ", " "))
		}
	}
	return w.Flush()
}

// printList prints the list that the server has at path.
func (a *app) printList(ctx context.Context, c *client, path string, header []string, columns func(resource) ([]string, error)) error {
	all, err := c.list(ctx, path)
	if err != nil {
		return err
	}
	return a.printResources(all, header, columns)
}

// printResources writes a list as JSON, or as a table of what columns takes from each.
func (a *app) printResources(all []resource, header []string, columns func(resource) ([]string, error)) error {
	if a.output == "json" {
		if all == nil {
			all = []resource{}
		}
		return a.printJSON(all)
	}
	var rows [][]string
	for _, r := range all {
		row, err := columns(r)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return a.printTable(header, rows)
}
