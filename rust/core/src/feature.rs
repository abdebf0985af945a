//! The vendor's feature codes: `87545ACD_2022_0F` is version 2022 of the product line `ACD`, `64300ACD_F` a package.

/// What a feature code says by its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature<'a> {
    /// The product line, or the whole feature where it is no code of this vendor.
    pub product: &'a [u8],
    /// The four digits of the version, for a component.
    pub version: Option<&'a [u8]>,
    /// Whether the code stands for a package: a license under which one of several versions is used.
    pub is_package: bool,
}

/// Reads a feature code. Five digits, the product line (which may begin with a digit or hold underscores), and
/// `_YYYY_0F` for a version, `_F` (maintenance) or `_T_F` (term) for a package.
#[must_use]
pub fn parse(feature: &[u8]) -> Feature<'_> {
    let other = Feature { product: feature, version: None, is_package: false };
    let Some((digits, rest)) = feature.split_at_checked(5) else { return other };
    if !digits.iter().all(u8::is_ascii_digit) {
        return other;
    }
    if let Some(head) = rest.strip_suffix(b"_0F") {
        if let Some((line, version)) = head.len().checked_sub(5).map(|at| head.split_at(at))
            && version[0] == b'_'
            && version[1..].iter().all(u8::is_ascii_digit)
            && !line.is_empty()
        {
            return Feature { product: line, version: Some(&version[1..]), is_package: false };
        }
        return other;
    }
    match rest.strip_suffix(b"_T_F").or_else(|| rest.strip_suffix(b"_F")) {
        Some(line) if !line.is_empty() => Feature { product: line, version: None, is_package: true },
        _ => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(feature: &str) -> (&str, Option<&str>, bool) {
        let Feature { product, version, is_package } = parse(feature.as_bytes());
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        (text(product), version.map(text), is_package)
    }

    #[test]
    fn shapes_of_the_vendor() {
        assert_eq!(read("87545ACD_2022_0F"), ("ACD", Some("2022"), false));
        assert_eq!(read("866333DSMAX_2017_0F"), ("3DSMAX", Some("2017"), false));
        assert_eq!(read("86150ACAD_E_2014_0F"), ("ACAD_E", Some("2014"), false));
        assert_eq!(read("64300ACD_F"), ("ACD", None, true));
        assert_eq!(read("65500ACAD_E_T_F"), ("ACAD_E", None, true));
    }

    #[test]
    fn other_features_are_their_own_product() {
        for feature in ["hfss_solve", "", "12345", "12345_F", "12345_2022_0F", "1234ACD_F", "MSCONE", "99999X_0F"] {
            assert_eq!(read(feature), (feature, None, false));
        }
    }
}
