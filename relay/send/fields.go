package send

import (
	"net/http"
	"slices"
	"strings"
)

// Field is one header of a request.
type Field struct{ Name, Value string }

// Fields are the headers of a request in the order in which they are written. It costs an attempt
// less than the map of http.Header (BenchmarkAttempt); signing.Header is implemented by it.
type Fields []Field

// Values returns the values of a name, whatever its case.
func (f *Fields) Values(name string) (values []string) {
	for i := range *f {
		if strings.EqualFold((*f)[i].Name, name) {
			values = append(values, (*f)[i].Value)
		}
	}
	return values
}

// Set makes a value the only one of its name.
func (f *Fields) Set(name, value string) {
	if f.has(name) {
		*f = slices.DeleteFunc(*f, func(o Field) bool { return strings.EqualFold(o.Name, name) })
	}
	f.Add(name, value)
}

// Add adds a value to those of its name.
func (f *Fields) Add(name, value string) {
	*f = append(*f, Field{http.CanonicalHeaderKey(name), value})
}

func (f *Fields) has(name string) bool {
	return slices.ContainsFunc(*f, func(o Field) bool { return strings.EqualFold(o.Name, name) })
}
