package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// maxRedirects is how often a server may send one elsewhere.
const maxRedirects = 10

// connectTime bounds each of: finding the way to a host, and TLS.
const connectTime = 30 * time.Second

// agent names the program to servers.
const agent = "kvmrun"

// newClient makes what speaks HTTP, by the proxies that the environment names.
// Bytes come as they lie on the server: nothing is unpacked on the way.
func newClient(o Options) *http.Client {
	dialer := &net.Dialer{Timeout: connectTime}
	return &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			TLSClientConfig:     &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: connectTime,
			DisableCompression:  true,
			ForceAttemptHTTP2:   true,
			DisableKeepAlives:   true, // one file is all that is asked for
			// A server may send a header without end, too.
			MaxResponseHeaderBytes: 1 << 20,
		},
	}
}

// checkRedirect follows a server's word to a bound, and never from a protected
// connection to one that is not.
func checkRedirect(next *http.Request, before []*http.Request) error {
	last := before[len(before)-1]
	switch {
	case last.URL.Scheme == "https" && next.URL.Scheme != "https":
		return &Error{Kind: ErrInsecure,
			Detail: "the server sends one on from https to " + show(next.URL.Redacted()) + ", which protects nothing",
			Advice: "look for another address of the file"}
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return &Error{Kind: ErrRedirect, Detail: "the server sends one on to " + show(next.URL.Redacted()),
			Advice: "look for another address of the file"}
	case len(before) > maxRedirects:
		return &Error{Kind: ErrRedirect, Detail: fmt.Sprintf("the server sends one on more than %d times, at last to %s", maxRedirects, show(next.URL.Redacted())),
			Advice: "look for another address of the file"}
	}
	return nil
}

// newRequest asks for a file as it is.
func newRequest(ctx context.Context, at location) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url.String(), nil)
	if err != nil {
		return nil, &Error{Kind: ErrLocation, Detail: "no request can be made of it", Advice: "check the URL"}
	}
	r.Header.Set("User-Agent", agent)
	r.Header.Set("Accept-Encoding", "identity")
	return r, nil
}

// requestFailed explains why there is no answer. known says that the host has
// answered before: then what is the matter may pass.
func requestFailed(err error, known bool) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // it repeats the URL
	}
	for _, explain := range []func(error) *Error{explainTLS, explainHost} {
		if e := explain(err); e != nil {
			e.passing = e.passing || (known && errors.Is(e.Kind, ErrHost))
			return e
		}
	}
	return connectionBroke(err)
}

// connectionBroke is a failure that may be gone the next time.
func connectionBroke(err error) *Error {
	return &Error{Kind: ErrConnection, Detail: "the connection broke", Err: err, passing: true,
		Advice: "try again: what has come so far is kept"}
}

// explainTLS knows the failures of a server to prove who it is.
func explainTLS(err error) *Error {
	var unverified *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &unverified), errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid):
		return &Error{Kind: ErrTLS, Detail: "the server does not prove that it is who it should be", Err: err,
			Advice: "check the URL, this host's clock and its certificates (package ca-certificates)"}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &Error{Kind: ErrTLS, Detail: "the server does not speak TLS there", Err: err,
			Advice: "check the port in the URL"}
	case errors.As(err, &op) && op.Op == "remote error": // TLS's alerts
		return &Error{Kind: ErrTLS, Detail: "no protected connection comes about", Err: err,
			Advice: "look for another address of the file"}
	}
	return nil
}

// explainHost knows why a host cannot be reached.
func explainHost(err error) *Error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		if dns.IsNotFound {
			return &Error{Kind: ErrHost, Detail: "there is no host " + show(dns.Name), Advice: "check the URL and this host's resolver"}
		}
		return &Error{Kind: ErrHost, Detail: "the host cannot be looked up", Err: err, passing: dns.IsTimeout || dns.IsTemporary,
			Advice: "check this host's network and resolver"}
	}
	var op *net.OpError
	if !errors.As(err, &op) || (op.Op != "dial" && op.Op != "proxyconnect") {
		return nil
	}
	e := &Error{Kind: ErrHost, Detail: "the host cannot be reached", Err: err, Advice: "check the URL and this host's network"}
	if op.Op == "proxyconnect" {
		e.Detail, e.Advice = "the proxy cannot be reached", "check HTTPS_PROXY and HTTP_PROXY in the environment"
	}
	e.passing = op.Timeout() || errors.Is(err, syscall.ECONNRESET)
	return e
}

// statusFailed explains an answer that is no file.
func statusFailed(r *http.Response) *Error {
	e := &Error{Kind: ErrServer, Detail: "the server says " + show(shorten(strings.TrimSpace(r.Status))), Advice: "check the URL"}
	switch r.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		e.Kind = ErrNotFound
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		e.Kind, e.Advice = ErrForbidden, "check the URL, and the name and password in it"
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.passing, e.after = true, retryAfter(r.Header.Get("Retry-After"))
		e.Advice = "try again later"
	}
	return e
}

// maxRetryAfter is how long a server may ask for patience.
const maxRetryAfter = 30 * time.Second

// retryAfter reads a number of seconds; a date is passed over.
func retryAfter(header string) time.Duration {
	seconds, ok := number(header)
	if !ok || header == "" {
		return 0
	}
	return time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second
}
