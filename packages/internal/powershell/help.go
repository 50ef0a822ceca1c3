package powershell

import "github.com/airlock-run/airlock/packages/internal/powershell/syntax"

func (m *Module) help(f *File, def *syntax.Node) Help { return Help{} }
