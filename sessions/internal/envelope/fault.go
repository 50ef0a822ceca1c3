package envelope

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// Fault is a fault of the vSphere API (namespace urn:vim25) that the broker answers with.
type Fault struct {
	Type    string // of the fault in the API, "NotAuthenticated"
	Field   string // the fault's element that carries Message, "" for none
	Message string // a sentence for the user
}

// The faults that the broker has a use for.
func NotAuthenticated(message string) Fault { return Fault{Type: "NotAuthenticated", Message: message} }

// InvalidLogin says that user or password are wrong.
func InvalidLogin(message string) Fault { return Fault{Type: "InvalidLogin", Message: message} }

// Refused says that the call is one that a script may not make.
func Refused(message string) Fault { return Fault{"RestrictedByAdministrator", "details", message} }

// Failed says that the call could not be passed on.
func Failed(message string) Fault { return Fault{"SystemError", "reason", message} }

// Bytes is the answer: to be sent with status 500, as SOAP 1.1 over HTTP has it.
func (f Fault) Bytes() []byte {
	var message, field bytes.Buffer
	_ = xml.EscapeText(&message, []byte(f.Message)) // a Buffer takes everything
	if f.Field != "" {
		fmt.Fprintf(&field, "<%s>%s</%[1]s>", f.Field, message.Bytes())
	}
	return fmt.Appendf(nil, head+`<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>%s</faultstring>`+
		`<detail><%[2]sFault xmlns="urn:vim25" xsi:type="%[2]s">%[3]s</%[2]sFault></detail></soapenv:Fault>`+tail,
		message.Bytes(), f.Type, field.Bytes())
}

// Empty is the answer of a method that returns nothing, in the namespace of its service ("urn:vim25").
func Empty(method, namespace string) []byte {
	return fmt.Appendf(nil, head+`<%sResponse xmlns="%s"/>`+tail, method, namespace)
}

const (
	head = xml.Header + `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"` +
		` xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>`
	tail = `</soapenv:Body></soapenv:Envelope>`
)
