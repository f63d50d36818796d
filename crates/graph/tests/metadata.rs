//! `$metadata` of both versions: well-formed and complete.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use cloudpc_graph::metadata::render;
use cloudpc_graph::{Edm, Version};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// An XML element: name, attributes and depth.
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    depth: usize,
}

impl Element {
    fn of(start: &BytesStart<'_>, depth: usize) -> Self {
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            (attribute.key.as_ref().to_owned(), attribute.value.into_owned())
        });
        Self { name: start.name().as_ref().to_owned(), attributes: attributes.collect(), depth }
    }
}

fn elements(xml: &str) -> Vec<Element> {
    let mut reader = Reader::from_str(xml);
    let (mut elements, mut depth) = (Vec::new(), 0);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                elements.push(Element::of(&start, depth));
                depth += 1;
            }
            Event::Empty(start) => elements.push(Element::of(&start, depth)),
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    elements
}

fn both() -> [(Version, Vec<Element>); 2] {
    [Version::V1, Version::Beta].map(|version| (version, elements(&render(Edm::of(version)))))
}

#[test]
fn every_referenced_type_is_declared_once() {
    for (version, elements) in both() {
        let mut namespace = "";
        let mut declared = BTreeSet::new();
        for element in &elements {
            match element.name.as_str() {
                "Schema" => namespace = &element.attributes["Namespace"],
                "EntityType" | "ComplexType" | "EnumType" => {
                    let name = format!("{namespace}.{}", element.attributes["Name"]);
                    assert!(declared.insert(name.clone()), "{name} twice in {version:?}");
                }
                _ => {}
            }
        }
        assert!(declared.contains("microsoft.graph.cloudPC") && declared.contains("cloudpc.action"));
        for element in &elements {
            let referred = ["Type", "BaseType", "EntityType"].iter().filter_map(|name| element.attributes.get(*name));
            for name in referred {
                let name = name.strip_prefix("Collection(").and_then(|name| name.strip_suffix(')')).unwrap_or(name);
                assert!(name.starts_with("Edm.") || declared.contains(name), "{name} in {version:?}");
            }
        }
    }
}

#[test]
fn every_action_and_function_is_declared() {
    for (version, elements) in both() {
        let declared: BTreeSet<(&str, &str)> = elements
            .iter()
            .filter(|element| element.name == "Action" || element.name == "Function")
            .map(|element| (element.name.as_str(), element.attributes["Name"].as_str()))
            .collect();
        for operation in Edm::of(version).operations.iter().filter(|operation| operation.binding.is_some()) {
            let element = if operation.method == cloudpc_graph::Method::Get { "Function" } else { "Action" };
            let name = operation.key.rsplit_once('.').unwrap().1;
            assert!(declared.contains(&(element, name)), "{} in {version:?}", operation.key);
        }
    }
}

#[test]
fn binding_parameter_is_first_and_overloads_are_unique() {
    for (version, elements) in both() {
        let mut seen = BTreeSet::new();
        for (place, element) in elements.iter().enumerate() {
            if element.name != "Action" && element.name != "Function" {
                continue;
            }
            let binding = &elements[place + 1];
            assert_eq!((binding.name.as_str(), binding.depth), ("Parameter", element.depth + 1));
            let overload = (&element.attributes["Name"], &binding.attributes["Type"]);
            assert!(seen.insert(overload), "{overload:?} in {version:?}");
        }
    }
}

/// Returns the lines from the one that contains `begin` up to the one that contains `close`.
fn excerpt(xml: &str, begin: &str, close: &str) -> String {
    let from = xml.find(begin).unwrap();
    let length = xml[from..].find(close).unwrap() + close.len();
    xml[from..from + length].replace("><", ">\n<")
}

#[test]
fn excerpts() {
    let beta = render(Edm::of(Version::Beta));
    insta::assert_snapshot!(excerpt(&beta, "<?xml", "<Schema"), @r#"
    <?xml version="1.0" encoding="utf-8"?>
    <edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
    <edmx:DataServices>
    <Schema
    "#);
    insta::assert_snapshot!(excerpt(&beta, "<EntityType Name=\"cloudPcExternalPartner\"", "</EntityType>"), @r#"
    <EntityType Name="cloudPcExternalPartner" BaseType="microsoft.graph.entity">
    <Property Name="agentSetting" Type="microsoft.graph.cloudPcExternalPartnerAgentSetting"/>
    <Property Name="connectionStatus" Type="microsoft.graph.cloudPcExternalPartnerStatus"/>
    <Property Name="enableConnection" Type="Edm.Boolean"/>
    <Property Name="lastSyncDateTime" Type="Edm.DateTimeOffset"/>
    <Property Name="partnerId" Type="Edm.String"/>
    <Property Name="statusDetails" Type="Edm.String"/>
    </EntityType>
    "#);
    insta::assert_snapshot!(excerpt(&beta, "<EntityType Name=\"entity\"", "</EntityType>"), @r#"
    <EntityType Name="entity">
    <Key>
    <PropertyRef Name="id"/>
    </Key>
    <Property Name="id" Type="Edm.String" Nullable="false"/>
    </EntityType>
    "#);
    insta::assert_snapshot!(excerpt(&beta, "<EntityType Name=\"deviceManagement\"", "</EntityType>"), @r#"
    <EntityType Name="deviceManagement">
    <NavigationProperty Name="managedDevices" Type="Collection(microsoft.graph.managedDevice)" ContainsTarget="true"/>
    <NavigationProperty Name="virtualEndpoint" Type="microsoft.graph.virtualEndpoint" ContainsTarget="true"/>
    </EntityType>
    "#);
    insta::assert_snapshot!(excerpt(&beta, "<EnumType Name=\"actionState\"", "</EnumType>"), @r#"
    <EnumType Name="actionState">
    <Member Name="none" Value="0"/>
    <Member Name="pending" Value="1"/>
    <Member Name="canceled" Value="2"/>
    <Member Name="active" Value="3"/>
    <Member Name="done" Value="4"/>
    <Member Name="failed" Value="5"/>
    <Member Name="notSupported" Value="6"/>
    </EnumType>
    "#);
    insta::assert_snapshot!(excerpt(&beta, "<EnumType Name=\"cloudPcManagementService\"", "</EnumType>"), @r#"
    <EnumType Name="cloudPcManagementService" IsFlags="true">
    <Member Name="windows365" Value="1"/>
    <Member Name="devBox" Value="2"/>
    <Member Name="unknownFutureValue" Value="4"/>
    <Member Name="rpaBox" Value="8"/>
    <Member Name="microsoft365Opal" Value="16"/>
    <Member Name="microsoft365BizChat" Value="32"/>
    </EnumType>
    "#);
    insta::assert_snapshot!(excerpt(&beta, "<Action Name=\"deployAgent\"", "</Action>"), @r#"
    <Action Name="deployAgent" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPcExternalPartner" Nullable="false"/>
    <Parameter Name="cloudPcIds" Type="Collection(Edm.String)" Nullable="false"/>
    <ReturnType Type="Edm.String"/>
    </Action>
    "#);
    insta::assert_snapshot!(excerpt(&beta, "<Function Name=\"retrieveDeployAgentActionResults\"", "</Function>"), @r#"
    <Function Name="retrieveDeployAgentActionResults" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPcExternalPartner" Nullable="false"/>
    <Parameter Name="activityId" Type="Edm.String"/>
    <Parameter Name="cloudPcId" Type="Edm.String"/>
    <ReturnType Type="Collection(microsoft.graph.cloudPcExternalPartnerActionResult)"/>
    </Function>
    "#);
    insta::assert_snapshot!(excerpt(&beta, "<EntityContainer", "</EntityContainer>"), @r#"
    <EntityContainer Name="GraphService">
    <EntitySet Name="groups" EntityType="microsoft.graph.group"/>
    <EntitySet Name="subscribedSkus" EntityType="microsoft.graph.subscribedSku"/>
    <EntitySet Name="users" EntityType="microsoft.graph.user"/>
    <Singleton Name="me" Type="microsoft.graph.user"/>
    <Singleton Name="deviceManagement" Type="microsoft.graph.deviceManagement"/>
    <Singleton Name="roleManagement" Type="microsoft.graph.roleManagement"/>
    </EntityContainer>
    "#);
    let own = &beta[beta.find("<Schema Namespace=\"cloudpc\"").unwrap()..];
    insta::assert_snapshot!(own.replace("><", ">\n<"), @r#"
    <Schema Namespace="cloudpc" xmlns="http://docs.oasis-open.org/odata/ns/edm">
    <EnumType Name="bulkActionItemState">
    <Member Name="pending" Value="0"/>
    <Member Name="inProgress" Value="1"/>
    <Member Name="succeeded" Value="2"/>
    <Member Name="failed" Value="3"/>
    <Member Name="notSupported" Value="4"/>
    </EnumType>
    <EnumType Name="state">
    <Member Name="pending" Value="0"/>
    <Member Name="running" Value="1"/>
    <Member Name="undoing" Value="2"/>
    <Member Name="done" Value="3"/>
    <Member Name="failed" Value="4"/>
    <Member Name="canceled" Value="5"/>
    <Member Name="notSupported" Value="6"/>
    <Member Name="stuck" Value="7"/>
    </EnumType>
    <EntityType Name="action">
    <Key>
    <PropertyRef Name="id"/>
    </Key>
    <Property Name="activityId" Type="Edm.String"/>
    <Property Name="attempts" Type="Edm.Int32" Nullable="false"/>
    <Property Name="bulkActionId" Type="Edm.String"/>
    <Property Name="cancelRequestedDateTime" Type="Edm.DateTimeOffset"/>
    <Property Name="cloudPcId" Type="Edm.String" Nullable="false"/>
    <Property Name="deadlineDateTime" Type="Edm.DateTimeOffset" Nullable="false"/>
    <Property Name="errorCode" Type="Edm.String"/>
    <Property Name="errorMessage" Type="Edm.String"/>
    <Property Name="events" Type="Collection(cloudpc.actionEvent)" Nullable="false"/>
    <Property Name="id" Type="Edm.String" Nullable="false"/>
    <Property Name="kind" Type="Edm.String" Nullable="false"/>
    <Property Name="lastUpdatedDateTime" Type="Edm.DateTimeOffset" Nullable="false"/>
    <Property Name="queuePlace" Type="Edm.Int32"/>
    <Property Name="requestedBy" Type="cloudpc.requester" Nullable="false"/>
    <Property Name="requestedDateTime" Type="Edm.DateTimeOffset" Nullable="false"/>
    <Property Name="startedDateTime" Type="Edm.DateTimeOffset"/>
    <Property Name="state" Type="cloudpc.state" Nullable="false"/>
    <Property Name="step" Type="Edm.String"/>
    <Property Name="steps" Type="Collection(cloudpc.actionStep)" Nullable="false"/>
    <Property Name="undoUntilDateTime" Type="Edm.DateTimeOffset"/>
    <Property Name="undoneActionId" Type="Edm.String"/>
    <Property Name="waitsFor" Type="Edm.String"/>
    </EntityType>
    <ComplexType Name="actionEvent">
    <Property Name="at" Type="Edm.DateTimeOffset" Nullable="false"/>
    <Property Name="data" Type="Edm.Untyped"/>
    <Property Name="epoch" Type="Edm.Int64" Nullable="false"/>
    <Property Name="event" Type="Edm.String" Nullable="false"/>
    </ComplexType>
    <ComplexType Name="actionStep">
    <Property Name="attempts" Type="Edm.Int32" Nullable="false"/>
    <Property Name="dueDateTime" Type="Edm.DateTimeOffset"/>
    <Property Name="endedDateTime" Type="Edm.DateTimeOffset"/>
    <Property Name="message" Type="Edm.String"/>
    <Property Name="name" Type="Edm.String" Nullable="false"/>
    <Property Name="startedDateTime" Type="Edm.DateTimeOffset" Nullable="false"/>
    <Property Name="state" Type="Edm.String" Nullable="false"/>
    </ComplexType>
    <EntityType Name="activity">
    <Key>
    <PropertyRef Name="id"/>
    </Key>
    <Property Name="id" Type="Edm.String" Nullable="false"/>
    </EntityType>
    <ComplexType Name="bulkActionItem">
    <Property Name="actionId" Type="Edm.String"/>
    <Property Name="cloudPcId" Type="Edm.String" Nullable="false"/>
    <Property Name="errorCode" Type="Edm.String"/>
    <Property Name="errorMessage" Type="Edm.String"/>
    <Property Name="state" Type="cloudpc.bulkActionItemState" Nullable="false"/>
    </ComplexType>
    <ComplexType Name="requester">
    <Property Name="appId" Type="Edm.String"/>
    <Property Name="appName" Type="Edm.String" Nullable="false"/>
    <Property Name="kind" Type="Edm.String" Nullable="false"/>
    <Property Name="userId" Type="Edm.String"/>
    <Property Name="userPrincipalName" Type="Edm.String" Nullable="false"/>
    </ComplexType>
    <Function Name="delta" IsBound="true">
    <Parameter Name="bindingParameter" Type="Collection(microsoft.graph.cloudPC)" Nullable="false"/>
    <ReturnType Type="Collection(microsoft.graph.cloudPC)"/>
    </Function>
    <Function Name="actions" IsBound="true" IsComposable="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPC" Nullable="false"/>
    <ReturnType Type="Collection(cloudpc.action)"/>
    </Function>
    <Action Name="cancel" IsBound="true">
    <Parameter Name="bindingParameter" Type="cloudpc.action" Nullable="false"/>
    </Action>
    <Action Name="settle" IsBound="true">
    <Parameter Name="bindingParameter" Type="cloudpc.action" Nullable="false"/>
    </Action>
    <Action Name="undo" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPC" Nullable="false"/>
    </Action>
    <Function Name="screenshot" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPC" Nullable="false"/>
    <ReturnType Type="Edm.Stream"/>
    </Function>
    <Action Name="allowUrls" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPcExternalPartner" Nullable="false"/>
    <Parameter Name="urls" Type="Collection(Edm.String)" Nullable="false"/>
    </Action>
    <Action Name="replay" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.webhook" Nullable="false"/>
    <Parameter Name="after" Type="Edm.String"/>
    </Action>
    <Action Name="rotateSigningKey" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.webhook" Nullable="false"/>
    <ReturnType Type="Edm.String"/>
    </Action>
    <Action Name="heartbeat" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPcExternalPartner" Nullable="false"/>
    </Action>
    <Action Name="setDetection" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPcExternalPartner" Nullable="false"/>
    <Parameter Name="command" Type="Edm.String" Nullable="false"/>
    </Action>
    <Function Name="actions" IsBound="true">
    <Parameter Name="bindingParameter" Type="cloudpc.activity" Nullable="false"/>
    <ReturnType Type="Collection(cloudpc.action)"/>
    </Function>
    <Action Name="cancel" IsBound="true">
    <Parameter Name="bindingParameter" Type="cloudpc.activity" Nullable="false"/>
    <ReturnType Type="Edm.Int32"/>
    </Action>
    <Function Name="items" IsBound="true">
    <Parameter Name="bindingParameter" Type="microsoft.graph.cloudPcBulkAction" Nullable="false"/>
    <ReturnType Type="Collection(cloudpc.bulkActionItem)"/>
    </Function>
    </Schema>
    </edmx:DataServices>
    </edmx:Edmx>
    "#);
}
