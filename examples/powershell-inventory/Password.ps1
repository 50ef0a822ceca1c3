# Passwords that Airlock keeps as persistent secrets: Key Vault or a file at the server, encrypted, for this package and private
# cloud only. To delete one, set it to $null; a key that is taken out of the hashtable stays where it is kept.

# Makes the password of an account where there is none, or another one, and says which it did.
function Update-Password {
    param([string]$Name, [switch]$Renew)
    $secret = "$Name-password"
    if ($PersistentSecrets[$secret] -and -not $Renew) {
        return 'reused'
    }
    $state = if ($PersistentSecrets[$secret]) { 'renewed' } else { 'created' }
    $PersistentSecrets[$secret] = New-Password
    return $state
}

# 20 characters, the most that vCenter allows by default, of each kind that it asks for.
function New-Password {
    $characters = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'
    $drawn = foreach ($i in 1..16) {
        $characters[[System.Security.Cryptography.RandomNumberGenerator]::GetInt32($characters.Length)]
    }
    'Ax7!' + ($drawn -join '')
}
