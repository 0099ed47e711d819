package fetch

import (
	"net/url"
	"path"
	"path/filepath"
	"strings"
)

// location is where something lies: a URL of the web's, or a path.
type location struct {
	url  *url.URL // nil for a path
	path string
}

// IsURL tells whether Get takes the text for a URL and not for a path.
func IsURL(text string) bool { return strings.Contains(text, "://") }

// parseLocation reads a path or URL.
func parseLocation(text string) (location, error) {
	if text == "" {
		return location{}, &Error{Kind: ErrLocation, Detail: "no file is named", Advice: "give a path or a URL"}
	}
	if !IsURL(text) {
		return location{path: text}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		// The parser's words repeat the URL, and a password with it.
		return location{}, &Error{Kind: ErrLocation, Detail: "a URL cannot be read", Advice: "write it like https://HOST/PATH"}
	}
	bad := func(detail, advice string) (location, error) {
		return location{}, &Error{Source: u.Redacted(), Kind: ErrLocation, Detail: detail, Advice: advice}
	}
	switch u.Scheme = strings.ToLower(u.Scheme); {
	case u.Scheme == "file" && u.Host != "" && !strings.EqualFold(u.Host, "localhost"):
		return bad("a file of another host cannot be reached", "write file:///PATH for one of this host")
	case u.Scheme == "file" && u.Path == "":
		return bad("it names no file", "write file:///PATH")
	case u.Scheme == "file":
		return location{path: u.Path}, nil
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("there is no way to get "+u.Scheme+" URLs", "use https, http or file, or download it by yourself")
	case u.Hostname() == "":
		return bad("it names no host", "write "+u.Scheme+"://HOST/PATH")
	}
	u.Fragment, u.RawFragment = "", ""
	return location{url: u}, nil
}

func (l location) remote() bool { return l.url != nil }

// plain tells whether what comes from here can be replaced on its way.
func (l location) plain() bool { return l.remote() && l.url.Scheme != "https" }

// String is for messages: without the password, and harmless on a terminal.
func (l location) String() string {
	if l.remote() {
		return l.url.Redacted()
	}
	return l.path
}

// slashed is the path with slashes, of a URL as of a file.
func (l location) slashed() string {
	if l.remote() {
		return path.Clean("/" + l.url.Path)
	}
	return filepath.ToSlash(filepath.Clean(l.path))
}

// name is the last element of the path.
func (l location) name() string { return path.Base(l.slashed()) }

// beside is another file in the same folder.
func (l location) beside(name string) location {
	if !l.remote() {
		return location{path: filepath.Join(filepath.Dir(l.path), name)}
	}
	u := *l.url
	u.Path, u.RawPath, u.RawQuery = path.Join(path.Dir(l.slashed()), name), "", ""
	return location{url: &u}
}
