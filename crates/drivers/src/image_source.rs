//! The sources that images are imported from, and what is known about an imported image.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{DriverError, GuestOs, rejected};

/// Largest disk that an image may have, GiB: the largest disk of a Cloud PC.
pub const IMAGE_DISK_GIB_MAX: u32 = 1024;

/// Longest source, bytes.
pub const SOURCE_BYTES_MAX: usize = 2048;

/// Rejection code of a source that does not exist.
pub const SOURCE_IMAGE_NOT_FOUND: &str = "sourceImageNotFound";

/// Rejection code of a source that is not a bootable disk of a supported format.
pub const SOURCE_IMAGE_INVALID: &str = "sourceImageInvalid";

/// Rejection code of a disk that is larger than [`IMAGE_DISK_GIB_MAX`].
pub const SOURCE_IMAGE_TOO_LARGE: &str = "sourceImageSizeExceedsLimitation";

/// A source that an image can be imported from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceImage {
    /// The source, as [`Driver::check_source`](crate::Driver::check_source) accepts it.
    pub resource_id: String,
    /// Name for people.
    pub display_name: String,
    /// The category.
    pub category: SourceCategory,
}

/// The category of a source, as in Graph's `cloudPcSourceImageCategory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceCategory {
    /// A single image, or a URL.
    ManagedImage,
    /// A version of an image in a gallery.
    AzureComputeGallery,
}

/// What a boot has shown about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFacts {
    /// The family of the operating system.
    pub os: GuestOs,
    /// The name of the operating system, for example `Windows 11 Enterprise`; none if the guest
    /// does not report it.
    pub operating_system: Option<String>,
    /// The build number, for example `22631`, or the release of a Linux kernel; none if the guest
    /// does not report it.
    pub build_number: Option<String>,
    /// The version number, for example `10.0.22631`, or `12` of a Linux distribution; none if the
    /// guest does not report it.
    pub version_number: Option<String>,
    /// Size of the disk, GiB, rounded up.
    pub size_gib: u32,
}

/// A parsed source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageSource {
    /// The resource id of an image, with the image's name.
    Managed { name: String },
    /// The resource id of a version of an image in a gallery, with the image's name.
    Gallery { name: String },
    /// An `https` or `http` URL.
    Url(Url),
}

/// Checks the form of an image source: a resource id or a URL.
///
/// # Errors
/// What is wrong with it.
pub fn check_source_form(source: &str) -> Result<(), String> {
    match ImageSource::parse(source) {
        Ok(_) => Ok(()),
        Err(DriverError::Rejected { message, .. }) => Err(message),
        Err(error) => Err(error.to_string()),
    }
}

impl ImageSource {
    /// Parses the resource id of an image in Azure Resource Manager's form, or a URL. The keywords
    /// of a resource id are case-insensitive; its names are kept as written.
    ///
    /// # Errors
    /// The source has neither form; rejected with [`SOURCE_IMAGE_INVALID`].
    pub fn parse(source: &str) -> Result<Self, DriverError> {
        let parsed = match source.len() <= SOURCE_BYTES_MAX {
            true => Self::resource(source).or_else(|| Self::url(source)),
            false => None,
        };
        parsed.ok_or_else(|| {
            let shown: String = source.chars().take(200).collect();
            rejected(
                SOURCE_IMAGE_INVALID,
                format!(
                    "Invalid image source '{shown}'. Expected a URL or a resource id such as {}, of at most {SOURCE_BYTES_MAX} bytes.",
                    managed_image_id("NAME")
                ),
            )
        })
    }

    fn resource(source: &str) -> Option<Self> {
        let segments: Vec<_> = source.strip_prefix('/')?.split('/').collect();
        if !segments.iter().all(|segment| is_resource_name(segment)) {
            return None;
        }
        let (scope, names) = segments.split_at_checked(6)?;
        let is_in_compute = matches!(scope, [subscriptions, _, groups, _, providers, provider]
            if subscriptions.eq_ignore_ascii_case("subscriptions")
                && groups.eq_ignore_ascii_case("resourceGroups")
                && providers.eq_ignore_ascii_case("providers")
                && provider.eq_ignore_ascii_case("Microsoft.Compute"));
        match names {
            [images, name] if is_in_compute && images.eq_ignore_ascii_case("images") => {
                Some(Self::Managed { name: (*name).to_owned() })
            }
            [galleries, _, images, name, versions, _]
                if is_in_compute
                    && galleries.eq_ignore_ascii_case("galleries")
                    && images.eq_ignore_ascii_case("images")
                    && versions.eq_ignore_ascii_case("versions") =>
            {
                Some(Self::Gallery { name: (*name).to_owned() })
            }
            _ => None,
        }
    }

    fn url(source: &str) -> Option<Self> {
        let url = Url::parse(source).ok()?;
        (matches!(url.scheme(), "https" | "http") && url.has_host()).then_some(Self::Url(url))
    }

    /// Describes the source for a list.
    pub fn describe(&self, source: &str) -> SourceImage {
        let (display_name, category) = match self {
            Self::Managed { name } => (name.clone(), SourceCategory::ManagedImage),
            Self::Gallery { name } => (name.clone(), SourceCategory::AzureComputeGallery),
            Self::Url(url) => {
                let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
                (last.to_owned(), SourceCategory::ManagedImage)
            }
        };
        SourceImage { resource_id: source.to_owned(), display_name, category }
    }
}

/// Returns the resource id of an image that this service offers.
pub(crate) fn managed_image_id(name: &str) -> String {
    format!(
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cloudpc/providers/Microsoft.Compute/images/{name}"
    )
}

/// Returns whether a text may be a name in a resource id. Such a name never leads out of a folder.
pub(crate) fn is_resource_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'(' | b')');
    (1..=RESOURCE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.')
}

/// Longest name in a resource id, bytes.
const RESOURCE_NAME_BYTES_MAX: usize = 90;

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/subscriptions/5c1d/resourceGroups/images/providers/Microsoft.Compute";

    #[test]
    fn a_source_is_a_resource_id_or_a_url() {
        let managed = |name: &str| Ok(ImageSource::Managed { name: name.into() });
        assert_eq!(ImageSource::parse(&managed_image_id("debian-12.qcow2")), managed("debian-12.qcow2"));
        assert_eq!(ImageSource::parse(&format!("{GROUP}/images/A")), managed("A"));
        let upper = "/SUBSCRIPTIONS/5c1d/resourcegroups/x/Providers/microsoft.compute/IMAGES/A";
        assert_eq!(ImageSource::parse(upper), managed("A"));
        let version = format!("{GROUP}/galleries/shared/images/win11/versions/1.0.0");
        assert_eq!(ImageSource::parse(&version), Ok(ImageSource::Gallery { name: "win11".into() }));
        let url = "https://images.test/a/win11.qcow2?sig=x";
        assert_eq!(ImageSource::parse(url), Ok(ImageSource::Url(Url::parse(url).unwrap())));
        let described = ImageSource::parse(url).unwrap().describe(url);
        assert_eq!((described.resource_id.as_str(), described.display_name.as_str()), (url, "win11.qcow2"));
    }

    #[test]
    fn anything_else_is_no_source() {
        let long = "x".repeat(RESOURCE_NAME_BYTES_MAX + 1);
        let resources = ["images", "images/", "images/..", "images/.hidden", "images/a/b", "images/a%2fb", "disks/a"];
        let mut all = resources.map(|rest| format!("{GROUP}/{rest}")).to_vec();
        all.push(format!("{GROUP}/images/{long}"));
        all.push(format!("{GROUP}/galleries/g/images/a/versions"));
        for other in
            ["", "a.qcow2", "/etc/passwd", "../a", "file:///etc/passwd", "ftp://a.test/b", "json:{}", "nbd://a"]
        {
            all.push(other.into());
        }
        for source in all {
            let refused = ImageSource::parse(&source);
            assert!(
                matches!(&refused, Err(DriverError::Rejected { code, .. }) if code == SOURCE_IMAGE_INVALID),
                "{source}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_source_and_a_name_are_accepted_at_their_limits() {
        assert!(ImageSource::parse(&format!("{GROUP}/images/{}", "x".repeat(RESOURCE_NAME_BYTES_MAX))).is_ok());
        let url = |bytes: usize| format!("https://a.test/{}", "x".repeat(bytes - "https://a.test/".len()));
        assert!(ImageSource::parse(&url(SOURCE_BYTES_MAX)).is_ok());
        assert!(ImageSource::parse(&url(SOURCE_BYTES_MAX + 1)).is_err());
    }
}
