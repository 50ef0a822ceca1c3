package powershell

import (
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// avs reads [AVSAttribute(minutes, UpdatesSDDC = …, AutomationOnly = …)].
func (m *Module) avs(fn *Function, a *syntax.Node) {
	at := fn.File.At(a)
	wrong := func(format string, args ...any) {
		m.unknown(at, "The AVSAttribute of "+fn.Name+" "+format, args...)
	}
	if m.defines(a.Text) && a.Is("AVS") {
		wrong("is written [AVS], which is a class of the module. Write [AVSAttribute(…)].")
		return
	}
	if fn.AVS != nil {
		wrong("is there twice. Remove one.")
		return
	}
	fn.AVS = &AVS{Line: at.Line}
	if len(a.Attr.Positional) != 1 {
		wrong("needs one number, the timeout in minutes, as in [AVSAttribute(30)].")
	} else if minutes, known := whole(a.Attr.Positional[0]); !known || minutes <= 0 {
		wrong("has no timeout in minutes that can be told from the text. Write a whole number, as in [AVSAttribute(30)].")
	} else {
		fn.AVS.Minutes = int(minutes)
	}
	for _, arg := range a.Attr.Named {
		v, known := true, true
		if arg.Value != nil {
			v, known = truth(arg.Value)
		}
		switch strings.ToLower(arg.Name) {
		case "updatessddc":
			fn.AVS.UpdatesSDDC = v
		case "automationonly":
			fn.AVS.AutomationOnly = v
		default:
			wrong("has no argument %s. It knows UpdatesSDDC and AutomationOnly.", arg.Name)
			continue
		}
		if !known {
			wrong("computes %s, which cannot be told from the text. Write $true or $false.", arg.Name)
		}
	}
}
