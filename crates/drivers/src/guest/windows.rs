//! The scripts for Windows guests, in PowerShell 5, which every Windows includes.
//!
//! Neither PowerShell nor the guest agent can pass arguments that contain arbitrary quotation
//! marks, so scripts and arguments are sent as one encoded text. These scripts were checked against
//! the language's grammar and tested with transcripts; they have not been run on Windows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::shell::Shell;

pub static WINDOWS: Shell = Shell {
    // Only administrators may write there, so that nobody can change an installer between its check
    // and its run.
    folder: "C:/Program Files/cloudpc",
    command: |script, arguments| {
        let script = format!("{PRELUDE}{}{script}", literals(arguments));
        let utf16: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let arguments = ["-NoProfile", "-NonInteractive", "-EncodedCommand", &BASE64.encode(utf16)];
        ("powershell.exe", arguments.map(str::to_owned).to_vec())
    },
    program_arguments: |parameters| vec![command_line(parameters)],
    null: "NUL",
    set_hostname: "if ($env:COMPUTERNAME -ne $a[0]) { Rename-Computer -NewName $a[0] -Force 3> $null }",
    set_account_type: SET_ACCOUNT_TYPE,
    make_folder: "[void][IO.Directory]::CreateDirectory($a[0])",
    store_download: r#"
Move-Item -Force -LiteralPath "$($a[1])/payload.part" -Destination "$($a[0])/payload"
(Get-Item -LiteralPath "$($a[0])/payload").Length
Stop-Downloads $a[0]
"#,
    resolve: RESOLVE,
    request: REQUEST,
    begin_download: "Stop-Downloads $a[0]; [void][IO.Directory]::CreateDirectory($a[1])",
    download: DOWNLOAD,
    digest: r"
if (-not (Test-Path -LiteralPath $a[0])) { exit 8 }
(Get-FileHash -Algorithm SHA256 -LiteralPath $a[0]).Hash
",
    run: RUN,
    poll: POLL,
    discard_run: r#"Remove-Item -Recurse -Force -LiteralPath "$($a[0])/run""#,
    kill: KILL,
    remove: "Stop-Downloads $a[0]; if (Test-Path -LiteralPath $a[0]) { Remove-Item -Recurse -Force -LiteralPath $a[0] }",
    detect: DETECT,
};

/// Precedes every script: errors end it, and a full disk is reported as on Linux, whatever the
/// language of Windows. A process is identified by its id and start time, because ids are reused;
/// both are stored in a file.
const PRELUDE: &str = r#"
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
trap {
    $full = $_.Exception.HResult -eq 0x80070070
    [Console]::Error.Write($(if ($full) { 'No space left on device' } else { "$_" }))
    exit 1
}
try { [Console]::OutputEncoding = New-Object Text.UTF8Encoding $false } catch { }
function Write-End($path) {
    if (-not (Test-Path -LiteralPath $path)) { return }
    $file = [IO.File]::Open($path, 'Open', 'Read', 'ReadWrite')
    [void]$file.Seek([Math]::Max(0, $file.Length - 8192), 'Begin')
    [Console]::Out.Write((New-Object IO.StreamReader $file, ([Text.Encoding]::Default)).ReadToEnd())
    $file.Close()
}
function Get-Recorded($path) {
    if (-not (Test-Path -LiteralPath $path)) { return }
    $id, $ticks = [IO.File]::ReadAllText($path) -split ' '
    Get-Process -Id $id -ErrorAction SilentlyContinue | Where-Object { "$($_.StartTime.Ticks)" -eq $ticks }
}
function Stop-Recorded($path) {
    $recorded = Get-Recorded $path
    if (-not $recorded) { return }
    cmd.exe /c "taskkill /T /F /PID $($recorded.Id) > nul 2>&1"
    [void]$recorded.WaitForExit(5000)
}
function Stop-Downloads($folder) {
    foreach ($attempt in Get-ChildItem -Directory -Path "$folder/download-*" -ErrorAction SilentlyContinue) {
        Stop-Recorded "$($attempt.FullName)/pid"
        Remove-Item -Recurse -Force -ErrorAction SilentlyContinue -LiteralPath $attempt.FullName
    }
}
function Find-Curl {
    $path = "$env:SystemRoot\System32\curl.exe"
    if (-not (Test-Path -LiteralPath $path)) {
        [Console]::Error.Write('curl.exe')
        exit 9
    }
    $path
}
"#;

/// The administrators' group is named in the language of Windows, so it is found by its identifier.
const SET_ACCOUNT_TYPE: &str = r#"
$account = @{ SID = 'S-1-5-32-544'; Member = "AzureAD\$($a[0])" }
try {
    if ($a[1] -eq 'administrator') { Add-LocalGroupMember @account } else { Remove-LocalGroupMember @account }
} catch [Microsoft.PowerShell.Commands.MemberExistsException] {
} catch [Microsoft.PowerShell.Commands.MemberNotFoundException] {
} catch [Microsoft.PowerShell.Commands.PrincipalNotFoundException] {
    [Console]::Error.Write("The guest has no account '$($account.Member)'.")
    exit 10
}
"#;

const RESOLVE: &str = r#"
try { $found = [Net.Dns]::GetHostAddresses($a[0]) } catch [Net.Sockets.SocketException] { exit 0 }
$found | ForEach-Object { $_.IPAddressToString }
"#;

const REQUEST: &str = r#"
$curl = Find-Curl
$output = & $curl @a
"$LASTEXITCODE"
"$output"
"#;

/// The size is polled while the file grows, because curl enforces its limit only if the server
/// declares the size, or if curl is recent. The length is read from an open file: the directory
/// entry lags behind.
const DOWNLOAD: &str = r#"
$attempt, $max, $arguments = $a
$curl = Find-Curl
[IO.File]::WriteAllText("$attempt/pid.new", "$PID $((Get-Process -Id $PID).StartTime.Ticks)")
Move-Item -LiteralPath "$attempt/pid.new" -Destination "$attempt/pid"
$path = "$attempt/payload.part"
[IO.File]::WriteAllText($path, '')
function Get-Size {
    $file = [IO.File]::Open($path, 'Open', 'Read', 'ReadWrite')
    $file.Length
    $file.Close()
}
$start = @{ FilePath = $curl; ArgumentList = "$arguments --output `"$path`""; NoNewWindow = $true; PassThru = $true }
$curlProcess = Start-Process @start -RedirectStandardOutput "$attempt/told" -RedirectStandardError "$attempt/errors"
$null = $curlProcess.Handle
while (-not $curlProcess.WaitForExit(100)) {
    if ((Get-Size) -gt [long]$max) { cmd.exe /c "taskkill /F /PID $($curlProcess.Id) > nul 2>&1" }
}
$code = $curlProcess.ExitCode
if ((Get-Size) -gt [long]$max) { $code = 63 }
Remove-Item -LiteralPath "$attempt/pid"
"$code"
[IO.File]::ReadAllText("$attempt/told")
[Console]::Error.Write([IO.File]::ReadAllText("$attempt/errors"))
"#;

/// A second PowerShell outlives this one and records the exit code. The Windows shell starts it, so
/// that it does not inherit the pipe whose end the guest agent waits for. Its parameters are passed
/// in files. The payload's format selects the program. Windows Installer runs without a user
/// interface and does not restart the machine; its requests for a restart (3010, 1641) count as
/// success.
const RUN: &str = r#"
$folder = $a[0]
if (-not (Test-Path -LiteralPath "$folder/payload")) { exit 8 }
$run = "$folder\run".Replace('/', '\')
[void][IO.Directory]::CreateDirectory($run)
try { [IO.File]::Open("$run/begun", 'CreateNew').Close() } catch {
    if (Test-Path -LiteralPath "$run/begun") { exit 0 }
    throw
}
$head = New-Object byte[] 2
$file = [IO.File]::OpenRead("$folder/payload")
[void]$file.Read($head, 0, 2)
$file.Close()
if ($head[0] -eq 0xD0) {
    [void](New-Item -ItemType HardLink -Path "$run/payload.msi" -Target "$folder/payload")
    $program = 'msiexec.exe'
    $arguments = "/i `"$run\payload.msi`" /qn /norestart $($a[1])"
} else {
    [void](New-Item -ItemType HardLink -Path "$run/payload.exe" -Target "$folder/payload")
    $program = "$run\payload.exe"
    $arguments = $a[1]
}
[IO.File]::WriteAllText("$run/program", $program)
[IO.File]::WriteAllText("$run/arguments", $arguments)
[IO.File]::WriteAllText("$run/runner.ps1", @'
$me = Get-Process -Id $PID
[IO.File]::WriteAllText("$run/pid.new", "$PID $($me.StartTime.Ticks)")
Move-Item -LiteralPath "$run/pid.new" -Destination "$run/pid"
$start = @{ FilePath = [IO.File]::ReadAllText("$run/program"); NoNewWindow = $true; PassThru = $true }
$arguments = [IO.File]::ReadAllText("$run/arguments")
if ($arguments.Trim()) { $start.ArgumentList = $arguments }
try {
    $installer = Start-Process @start -RedirectStandardOutput "$run/output" -RedirectStandardError "$run/errors"
    $null = $installer.Handle
    $installer.WaitForExit()
    $code = $installer.ExitCode
    if (3010, 1641 -contains $code) { $code = 0 }
} catch {
    [IO.File]::WriteAllText("$run/errors", "$_")
    $code = 193
}
[IO.File]::WriteAllText("$run/exit.new", "$code")
Move-Item -LiteralPath "$run/exit.new" -Destination "$run/exit"
'@)
$quoted = $run.Replace("'", "''")
$command = "`$run = '$quoted'; Invoke-Expression ([IO.File]::ReadAllText(`"`$run/runner.ps1`"))"
$encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($command))
Start-Process powershell.exe -WindowStyle Hidden -ArgumentList "-NoProfile -NonInteractive -EncodedCommand $encoded"
"#;

const POLL: &str = r#"
$run = "$($a[0])/run"
$state = 'none'
if (Test-Path -LiteralPath "$run/begun") { $state = 'starting' }
if (Test-Path -LiteralPath "$run/pid") { $state = if (Get-Recorded "$run/pid") { 'running' } else { 'lost' } }
if (Test-Path -LiteralPath "$run/exit") { $state = 'exit ' + [IO.File]::ReadAllText("$run/exit") }
[Console]::Out.Write("$state`n")
Write-End "$run/output"
Write-End "$run/errors"
"#;

const KILL: &str = r#"
Stop-Downloads $a[0]
$run = "$($a[0])/run"
if (-not (Test-Path -LiteralPath "$run/begun") -or (Test-Path -LiteralPath "$run/exit")) { exit 0 }
Stop-Recorded "$run/pid"
[IO.File]::WriteAllText("$run/exit", '137')
exit 0
"#;

const DETECT: &str = r#"
$base = Join-Path $env:TEMP ([IO.Path]::GetRandomFileName())
$encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($a[0]))
$start = @{ FilePath = 'powershell.exe'; ArgumentList = "-NoProfile -NonInteractive -EncodedCommand $encoded" }
$shell = Start-Process @start -NoNewWindow -PassThru -RedirectStandardOutput "$base.out" -RedirectStandardError "$base.err"
$null = $shell.Handle
$code = 137
if ($shell.WaitForExit(1000 * [int]$a[1])) { $code = $shell.ExitCode } else { cmd.exe /c "taskkill /T /F /PID $($shell.Id) > nul 2>&1" }
Write-End "$base.out"
Write-End "$base.err"
Remove-Item -Force -ErrorAction SilentlyContinue -LiteralPath "$base.out", "$base.err"
exit $code
"#;

/// Returns the arguments as a PowerShell array `$a` of literal strings, in which only the quotation
/// mark is special.
fn literals(arguments: &[&str]) -> String {
    let literals: Vec<_> = arguments.iter().map(|argument| format!("'{}'", doubled(argument))).collect();
    format!("$a = @({})\n", literals.join(", "))
}

/// Doubles quotation marks. `PowerShell` treats typographic ones like straight ones
/// (`about_Quoting_Rules`).
fn doubled(text: &str) -> String {
    let is_quote = |c| matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201A}' | '\u{201B}');
    text.chars().flat_map(|c| std::iter::repeat_n(c, if is_quote(c) { 2 } else { 1 })).collect()
}

/// Joins parameters into a Windows command line. A parameter with white space is quoted, unless it
/// contains quotation marks: then it is quoted already, as in `DIR="C:\a b"`, the form that Windows
/// Installer requires.
fn command_line(parameters: &[String]) -> String {
    let quoted = |parameter: &String| {
        if parameter.contains('"') || !(parameter.is_empty() || parameter.contains(char::is_whitespace)) {
            return parameter.clone();
        }
        // Backslashes before the closing mark would escape it.
        let backslashes = parameter.len() - parameter.trim_end_matches('\\').len();
        format!("\"{parameter}{}\"", "\\".repeat(backslashes))
    };
    parameters.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
