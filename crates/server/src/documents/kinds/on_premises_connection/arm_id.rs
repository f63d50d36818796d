//! Ids of Azure resources (Azure Resource Manager), such as
//! `/subscriptions/{guid}/resourceGroups/{name}`. Their words and names are the same in any case.

use uuid::Uuid;

/// The place of a name in the form of an id.
const NAME: &str = "*";

pub(super) const RESOURCE_GROUP: &[&str] = &["subscriptions", NAME, "resourceGroups", NAME];
pub(super) const VIRTUAL_NETWORK: &[&str] =
    &["subscriptions", NAME, "resourceGroups", NAME, "providers", "Microsoft.Network", "virtualNetworks", NAME];
pub(super) const SUBNET: &[&str] = &[
    "subscriptions",
    NAME,
    "resourceGroups",
    NAME,
    "providers",
    "Microsoft.Network",
    "virtualNetworks",
    NAME,
    "subnets",
    NAME,
];

/// The parsed id of a resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ArmId {
    pub subscription: Uuid,
    /// The names below the subscription, in lower case.
    pub names: Vec<String>,
}

impl ArmId {
    /// Parses an id of a form; none if it has another.
    pub fn parse(text: &str, form: &[&str]) -> Option<Self> {
        let segments: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let fits = |(segment, wanted): (&&str, &&str)| match *wanted {
            NAME => is_name(segment),
            word => segment.eq_ignore_ascii_case(word),
        };
        if segments.len() != form.len() || !segments.iter().zip(form).all(fits) {
            return None;
        }
        let mut names = segments.iter().zip(form).filter(|(_, wanted)| **wanted == NAME).map(|(segment, _)| *segment);
        let subscription = guid(names.next()?)?;
        Some(Self { subscription, names: names.map(str::to_lowercase).collect() })
    }

    /// Parses the id of a subscription: a GUID, or that after `/subscriptions/`.
    pub fn parse_subscription(text: &str) -> Option<Uuid> {
        match text.strip_prefix('/') {
            None => guid(text),
            Some(_) => Self::parse(text, &["subscriptions", NAME]).map(|id| id.subscription),
        }
    }
}

fn guid(text: &str) -> Option<Uuid> {
    (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::parse_str(text).ok()).flatten()
}

fn is_name(segment: &str) -> bool {
    !segment.is_empty() && segment.chars().all(|letter| letter.is_alphanumeric() || "-_.()".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &str = "0ac520ee-14c0-480f-b6c9-0a90c585ffff";

    #[test]
    fn an_id_has_the_words_of_its_form_in_any_case() {
        let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/Example(1)");
        let parsed = ArmId::parse(&group, RESOURCE_GROUP).unwrap();
        assert_eq!(
            (parsed.subscription.to_string(), parsed.names),
            (SUBSCRIPTION.to_owned(), vec!["example(1)".into()])
        );
        assert_eq!(ArmId::parse(&group.to_uppercase(), RESOURCE_GROUP), ArmId::parse(&group, RESOURCE_GROUP));
        let subnet = format!("{group}/providers/Microsoft.Network/virtualNetworks/Net/subnets/default");
        assert_eq!(ArmId::parse(&subnet, SUBNET).unwrap().names, ["example(1)", "net", "default"]);
        for (wrong, form) in [
            (subnet.as_str(), VIRTUAL_NETWORK),
            (&group[1..], RESOURCE_GROUP),
            (&format!("{group}/"), RESOURCE_GROUP),
            (&group.replace("Example(1)", ""), RESOURCE_GROUP),
            (&group.replace("Example(1)", "a b"), RESOURCE_GROUP),
            (&group.replace(SUBSCRIPTION, "none"), RESOURCE_GROUP),
            (&group.replace("resourceGroups", "groups"), RESOURCE_GROUP),
            ("", RESOURCE_GROUP),
        ] {
            assert_eq!(ArmId::parse(wrong, form), None, "{wrong}");
        }
    }

    #[test]
    fn a_subscription_is_a_guid_or_the_id_of_one() {
        let parse = ArmId::parse_subscription;
        assert_eq!(parse(SUBSCRIPTION), parse(&format!("/SUBSCRIPTIONS/{}", SUBSCRIPTION.to_uppercase())));
        assert!(parse(SUBSCRIPTION).is_some());
        for wrong in
            ["", "/", "none", "/subscriptions/none", &SUBSCRIPTION.replace('-', ""), &format!("{{{SUBSCRIPTION}}}")]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
