package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
)

func (a *app) packageCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check DIR|FILE",
		Short: "Look through a package as its review will",
		Long: `Look through a package as its review will, without a server and without running any of it: a .nupkg, or the directory of
a PowerShell module, of the Go source of a package, or of one that is built. docs/rules.md explains what it finds.

It ends with 0 where there are warnings and notes at most, and with 4 where there are errors, which a reviewer would have to
acknowledge.`,
		Args: cobra.ExactArgs(1),
	}
	previous := cmd.Flags().String("previous", "", "the version before (DIR or FILE), to find what breaks its users")
	// In place of the --output that all commands have: text is a table for people, sarif is for code hosts.
	output := cmd.Flags().StringP("output", "o", "text", "form of the result: text, json or sarif")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		switch *output {
		case "text", "table", "json", "sarif":
			return nil
		}
		return fmt.Errorf("--output is text, json or sarif, not %q", *output)
	}
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		findings, err := packages.Check(ctx, args[0], *previous)
		if err != nil {
			return err
		}
		if err := a.printReview(args[0], findings, *output); err != nil {
			return err
		}
		return refuseErrors(findings)
	})
	return cmd
}

// refuseErrors is the error for a package that has findings which are errors.
func refuseErrors(findings []domain.ReviewFinding) error {
	count, rules := 0, domain.Package{Findings: findings}.Errors()
	for _, f := range findings {
		if f.Severity == domain.SeverityError {
			count++
		}
	}
	if count == 0 {
		return nil
	}
	return errors.Newf(errors.PackageNotAllowed, "The package has errors (%d, of %s), each of whose rules a reviewer has to acknowledge: correct them, or tell the reviewer why they are right.", count, strings.Join(rules, ", "))
}

func (a *app) printReview(path string, findings []domain.ReviewFinding, output string) error {
	switch output {
	case "json":
		return a.printJSON(append([]domain.ReviewFinding{}, findings...)) // [] for none
	case "sarif":
		for i := range findings {
			findings[i].File = fileIn(path, findings[i].File)
		}
		return packages.WriteSARIF(a.stdout, findings)
	}
	for _, f := range findings {
		f.File = fileIn(path, f.File)
		if err := a.printFinding(f); err != nil {
			return err
		}
	}
	return nil
}

// printFinding writes a finding with its place, as compilers do.
func (a *app) printFinding(f domain.ReviewFinding) error {
	at := f.File
	for _, number := range []int{f.Line, f.Column} {
		if number > 0 {
			at += fmt.Sprintf(":%d", number)
		}
	}
	if at != "" {
		at += ": "
	}
	_, err := fmt.Fprintln(a.stdout, visible(fmt.Sprintf("%s%s: %s [%s]", at, f.Severity, f.Message, f.Rule), " ", " "))
	return err
}

// fileIn is the path of a file of the package at path as whoever named that would write it. A file in a .nupkg is named as
// in the directory that was packed.
func fileIn(path, file string) string {
	switch {
	case file == "":
		return filepath.ToSlash(path)
	case strings.EqualFold(filepath.Ext(path), ".nupkg"):
		return file
	}
	return filepath.ToSlash(filepath.Join(path, file))
}
