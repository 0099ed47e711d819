package launcher

import (
	"math"
	"strconv"
	"strings"
)

// Mebi is 2^20, the unit that QEMU counts memory in.
const Mebi = 1 << 20

// units are powers of two, as QEMU's are.
var units = map[string]int64{
	"": Mebi, "K": 1 << 10, "M": Mebi, "G": 1 << 30, "T": 1 << 40,
	"KIB": 1 << 10, "MIB": Mebi, "GIB": 1 << 30, "TIB": 1 << 40,
}

// ParseSize reads an amount of memory such as 512M, 2G or 1.5G, in bytes.
// Units are powers of 1024; a number alone counts mebibytes, as with QEMU's
// -m option.
func ParseSize(text string) (int64, error) {
	const advice = "write it like 512M or 2G"
	digits := strings.TrimRight(text, "kKmMgGtTiIbB")
	unit, ok := units[strings.ToUpper(text[len(digits):])]
	value, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || strings.ContainsAny(digits, "xXpPeE_+-") {
		return 0, fail(KindUsage, advice, "%q is not a size", text)
	}
	bytes := value * float64(unit)
	if math.IsNaN(bytes) || bytes < 0 || bytes >= math.MaxInt64 {
		return 0, fail(KindUsage, advice, "%q is out of range", text)
	}
	return int64(bytes), nil
}

// FormatSize writes bytes in the largest unit that leaves no fraction.
func FormatSize(bytes int64) string {
	for _, unit := range []string{"T", "G", "M", "K"} {
		if size := units[unit]; bytes >= size && bytes%size == 0 {
			return strconv.FormatInt(bytes/size, 10) + unit
		}
	}
	return strconv.FormatInt(bytes, 10)
}
