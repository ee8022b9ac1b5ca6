# See prepackage.sh. Windows cannot compile for Azure's Linux; the app runs all the same.
Write-Output 'Flowlog: not compiled: Azure runs on Linux x86_64, this is Windows.'
Write-Output 'Flowlog: The app will run all the same, and take several times as long for normalizing.'
