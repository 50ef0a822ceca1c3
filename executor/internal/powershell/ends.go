package powershell

import (
	"fmt"
	"path"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/process"
	"github.com/airlock-run/airlock/executor/internal/psrp"
	"github.com/airlock-run/airlock/internal/errors"
)

// reason says why a pipeline has not ended well, "" where it has. A pipeline that only wrote errors has ended well, and so
// has one that called exit with 0.
func reason(end psrp.End) string {
	switch {
	case end.Failure != nil:
		return sentence(*end.Failure)
	case end.State != psrp.Completed:
		return fmt.Sprintf("PowerShell reports the state %s and no reason.", end.State)
	case end.Exit != nil && *end.Exit != 0:
		return fmt.Sprintf("The cmdlet called exit with the code %d.", *end.Exit)
	}
	return ""
}

// stopped is how PowerShell begins the reason of what ended by ErrorAction Stop, before the reason itself.
const stopped = `The running command stopped because the preference variable "ErrorActionPreference" or common parameter is set to Stop: `

// sentence is an error in one sentence, with where it was.
func sentence(f psrp.Failure) string {
	message := strings.TrimSpace(strings.TrimPrefix(f.Message, stopped))
	if message == "" {
		message = "PowerShell gives no message for the error " + f.ID
	}
	message = strings.TrimSuffix(message, ".")
	switch at := f.Where(); {
	case at.Function != "":
		message += fmt.Sprintf(" (%s, %s line %d)", at.Function, path.Base(at.File), at.Line)
	case at.File != "":
		message += fmt.Sprintf(" (%s line %d)", path.Base(at.File), at.Line)
	}
	return message + "."
}

// died says for a user that the process ended before the conversation did.
func (c *conversation) died(err error, end process.End) error {
	if !c.first.over() {
		return c.install.broken(err, fmt.Sprintf("ended (%s) before it answered%s", end.How, c.first.quoted()))
	}
	return errors.Because(err, errors.ScriptFailed, "PowerShell's process ended (%s) while %s; its Error stream may say why.", end.How, c.doing)
}
